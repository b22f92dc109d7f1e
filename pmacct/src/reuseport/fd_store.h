/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * What an instance had queued when it was killed is read by the next one: systemd keeps the sockets meanwhile, in the file descriptor
 * store of the unit (FileDescriptorStoreMax= in systemd.service(5)).
 *
 * 1. An instance that joins puts its UDP sockets into the store. One that ends in order takes them out again, when it has drained.
 * 2. A socket in the store outlives its process, also in its bucket: it goes on to queue. `reuseportctl evict`, which the unit calls when a
 *    process has ended, takes it out of there if other instances read; else the next instance of that index replaces it there.
 * 3. The next start inherits it, by LISTEN_FDS. It neither binds nor joins with it: it opens its own as always, hands out what the old one
 *    has queued before what comes in its own, but for what exporters in quarantine have sent, and closes the old one.
 * 4. Not kept: TCP, since a router connects again; DTLS, whose keys end with the process.
 *
 * Without NOTIFY_SOCKET there is nothing of this. Of several inherited sockets of a listener, the thread that reads it uses one after the other.
 */
#ifndef REUSEPORT_FD_STORE_H
#define REUSEPORT_FD_STORE_H

#include <linux/types.h>
#include "reuseport/listener_names.h"

/* Takes the sockets that the service manager has passed to this process, and leaves those alone that are none of ours. Call it once, before
   anything of the group is looked at. */
extern void reuseport_inherit_sockets();

/* Returns: whether the socket of that cookie was inherited. */
extern int reuseport_is_inherited(__u64 cookie);

/* For the thread that reads the listener. Returns: an inherited socket of it that is to be read, or -1: there is none, or the listener has not
   joined yet, so that the old socket may still be in the bucket. */
extern int reuseport_inherited_socket(enum reuseport_listener);

/* For that thread: counts the datagrams that it has read from that socket. */
extern void reuseport_count_inherited(enum reuseport_listener, int datagrams);

/* For that thread, when it finds that socket empty: closes it, unless a datagram may still be on its way into it. Returns: whether it has. */
extern int reuseport_close_inherited(enum reuseport_listener);

/* For the main thread, when it begins to read: closes those of listeners that the config no longer has. */
extern void reuseport_close_needless_inherited();

/* Returns: whether any inherited socket has datagrams queued. */
extern int reuseport_any_inherited_queued();

/* In a forked child: closes its copies. */
extern void reuseport_close_inherited_in_child();

/* Puts the socket of a listener that has joined into the store, if its transport is UDP. */
extern void reuseport_store_socket(enum reuseport_listener);

/* Takes all sockets of this process out of the store. */
extern void reuseport_empty_store();

#endif
