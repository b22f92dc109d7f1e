/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * In the place of reuseport.h where it is not built, as on systems other than Linux: what stands for a system call is that
 * system call, the rest does nothing, and a reuseport_* key in the config ends the daemon.
 */
#ifndef REUSEPORT_NONE_H
#define REUSEPORT_NONE_H

#include "checks.h"

#define REUSEPORT_ARGS "x:"

static inline int reuseport_refuse_key(char *filename, char *name, char *value)
{
  (void) name, (void) value;
  Log(LOG_ERR, "ERROR: [%s] reuseport: this pmacct was built without it, which needs Linux. Remove the reuseport_* keys.\n", filename);
  exit(1);
}

#define cfg_key_reuseport_hashbucket_count reuseport_refuse_key
#define cfg_key_reuseport_hashbucket_index reuseport_refuse_key
#define cfg_key_reuseport_bpf_prog         reuseport_refuse_key
#define cfg_key_reuseport_pin_path         reuseport_refuse_key
#define cfg_key_reuseport_nonce            reuseport_refuse_key
#define cfg_key_reuseport_failover         reuseport_refuse_key
#define cfg_key_reuseport_takeover         reuseport_refuse_key
#define cfg_key_reuseport_quarantine       reuseport_refuse_key

#define reuseport_bind(listener, sock, address, length)           bind(sock, address, length)
#define reuseport_listen(listener, sock, backlog)                 listen(sock, backlog)
#define reuseport_accept(listener, sock, address, length)         reuseport_accept_usable(sock, address, length)
#define reuseport_take_xconnect(sock)                             ((sock) > 0 && (sock) < FD_SETSIZE)
#define reuseport_select(listener, n, ready, timeout, fds, again) select(n, ready, NULL, NULL, timeout)
#define reuseport_refuse_session(listener, session)               close(session)
#define reuseport_close_session                                   close
#define reuseport_recv                                            recv
#define reuseport_recvfrom                                        recvfrom
#define reuseport_receive                                         recvfrom
#define reuseport_receive_whole(sock, buf, len)                   pm_recv(sock, buf, len, MSG_WAITALL, DEFAULT_SLOTH_SLEEP_TIME)
#define reuseport_sigprocmask                                     sigprocmask

#define reuseport_enabled()                  FALSE
#define reuseport_replays()                  FALSE
#define reuseport_is_idle(received)          FALSE
#define reuseport_end_idle_turn(received, r) FALSE
#define reuseport_plugins_have_read()        FALSE
#define reuseport_loop_sets_signals()        TRUE
#define reuseport_may_remove(path)           TRUE

#define reuseport_note_values(lines, number)
#define reuseport_check_config(filename)
#define reuseport_take_session_in_hand(sock)
#define reuseport_count_disallowed()
#define reuseport_forget_zero_exporter(entry)
#define reuseport_note_read(zmq_host, buffer)
#define reuseport_end_orphan()
#define reuseport_made(path)

#endif
