/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * What pmacct's decoders and plugins call so that no datagram and no file brings a daemon down, and no buffer is lost between core and
 * plugins: on any system, with the reuseport_* keys or without. pmacct.h includes this.
 */
#ifndef REUSEPORT_CHECKS_H
#define REUSEPORT_CHECKS_H

#include <sys/types.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <errno.h>
#include <unistd.h>

/*
 * For search_status_table(), when the table is full. Returns: an entry for the datagram at hand that knows nothing of its exporter; NULL if
 * the table is not that of exporters.
 */
struct xflow_status_entry;
extern struct xflow_status_entry *reuseport_spare_status(const void *table);

/*
 * For process_v9_packet(): looks at a template or options template before upstream's handle_template() does, see template_check.h. room: bytes
 * from there to the end of the set; set_id: 0 to 3. Returns: 0 if it may be decoded; otherwise how many bytes to skip.
 */
extern u_int16_t reuseport_refuse_template(const u_char *template, u_int16_t room, u_int16_t set_id, u_int32_t domain, struct sockaddr *agent,
                                           u_int32_t sequence);

/*
 * For a line of nfacctd_templates_file, before nfacctd_offline_read_json_template() does. Returns: whether that may read it; otherwise writes
 * why not into text, of that length.
 */
extern int reuseport_check_template_line(const char *line, char *text, size_t length);

/*
 * For the decoder of sFlow, which is at *at of a datagram that ends before end. Returns: whether so many bytes are left; otherwise *at is behind
 * the end.
 */
extern int reuseport_has_left(u_int32_t **at, const u_char *end, u_int32_t bytes);

/* Returns: count, if so many numbers of 32 bits are left; otherwise 0. */
extern u_int32_t reuseport_fitting(u_int32_t **at, const u_char *end, u_int32_t count);

/* How many labels of MPLS are read, as upstream's MAX_MPLS_LABELS, which 1.7.6 lacks */
#define REUSEPORT_LABELS 10

/* As accept(), but a session whose descriptor is beyond an fd_set, so that select() cannot wait for it, is closed: then -1 and EMFILE. */
static inline int reuseport_accept_usable(int sock, struct sockaddr *address, socklen_t *length)
{
  int session = accept(sock, address, length);

  if (session < FD_SETSIZE) return session;
  close(session);
  errno = EMFILE;

  return -1;
}

/*
 * For a plugin that was notified and finds, at its place in the ring, a number that is not seq, which it expects. bufsz: bytes of a buffer.
 * Returns: whether the plugin has read the last buffer that the core committed: then the notification was late, not a buffer lost.
 */
struct ring;
struct ch_status;
extern int reuseport_ring_is_read(const struct ring *, const struct ch_status *, u_int64_t bufsz, u_int32_t seq);

/* Returns: where the buffer behind that one of size bytes is, as exec_plugins() has it (plugin_hooks.c, 1.7.6 to 1.7.9). */
extern const char *reuseport_next_buffer(const struct ring *, const char *buffer, u_int64_t size);

/*
 * For a plugin, before it reads the next buffer of its ring: publishes where that is, so that the core does not overwrite it.
 * Returns: the number of the buffer that is there; what the core wrote before the number is seen after it.
 */
extern u_int32_t reuseport_next_seq(const struct ring *, struct ch_status *);

#endif
