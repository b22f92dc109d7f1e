/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the daemons' side share among themselves; pmacct's own files see reuseport.h alone. */
#ifndef REUSEPORT_LIFE_H
#define REUSEPORT_LIFE_H

#include "reuseport/group.h"
#include "reuseport/reuseport.h"

/* What the keys ask for, complete once reuseport_check_config() is through */
extern struct rp_config reuseport_config;

/* In nfacctd_templates_file, how many characters come before the dash and the index that tell siblings apart */
extern size_t reuseport_templates_stem;

/* Milliseconds since some moment; cheap enough for every datagram, and as coarse as the kernel's tick */
extern long long reuseport_now_ms();

/* Opens the group once for nothing, while nothing has been started, and an exit status still reaches the caller: after
   daemonize() it would not. What changes until reuseport_bind() is found there. */
extern void reuseport_rehearse(const char *filename, enum reuseport_listener);

#endif
