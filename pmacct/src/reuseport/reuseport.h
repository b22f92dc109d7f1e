/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemons call to share their ports: keys, log lines, life cycle. A thin skin over group.c.
 *
 * Without any reuseport_* key in the config every function here does nothing. With them, whatever cannot be
 * honoured is logged in one line and ends the daemon with exit status 1.
 */
#ifndef REUSEPORT_H
#define REUSEPORT_H

/* Each listener has a socket array of its own: the kernel only selects among sockets of one port */
enum reuseport_listener {
  REUSEPORT_NFACCTD,
  REUSEPORT_BMP,
  REUSEPORT_LISTENERS,
};

/* Config keys, for the dictionary in cfg.c: filename, plugin name or NULL, value */
extern int cfg_key_reuseport_hashbucket_count(char *, char *, char *);
extern int cfg_key_reuseport_hashbucket_index(char *, char *, char *);
extern int cfg_key_reuseport_bpf_prog(char *, char *, char *);
extern int cfg_key_reuseport_pin_path(char *, char *, char *);
extern int cfg_key_reuseport_nonce(char *, char *, char *);
extern int cfg_key_reuseport_failover(char *, char *, char *);
extern int cfg_key_reuseport_takeover(char *, char *, char *);

/* Whether the keys are set */
extern int reuseport_enabled();

/* Checks the keys against each other, the rest of the config, the object and the running group, when all is parsed */
extern void reuseport_check_config(char *filename);

/* Opens and locks the group and sets the socket's options, before it is bound to that address. No child that is forked
   from now on holds the socket. */
extern void reuseport_open(enum reuseport_listener, int sock, const struct sockaddr *, socklen_t);

/* Puts the socket, bound (UDP) or listening (TCP) by now, into the instance's bucket and unlocks the group */
extern void reuseport_join(enum reuseport_listener);

#endif
