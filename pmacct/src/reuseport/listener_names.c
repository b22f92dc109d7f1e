/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The names and transports of the listeners: see listener_names.h. */
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include "listener_names.h"

const struct reuseport_listener_name reuseport_listener_names[REUSEPORT_LISTENERS] = {
    [REUSEPORT_NFACCTD] = {"nfacctd", IPPROTO_UDP},
    [REUSEPORT_TEMPLATES] = {"nfacctd_templates", IPPROTO_UDP},
    [REUSEPORT_DTLS] = {"nfacctd_dtls", IPPROTO_UDP},
    [REUSEPORT_SFACCTD] = {"sfacctd", IPPROTO_UDP},
    [REUSEPORT_BGP] = {"bgp", IPPROTO_TCP},
    [REUSEPORT_BMP] = {"bmp", IPPROTO_TCP},
    [REUSEPORT_TELEMETRY_TCP] = {"telemetry_tcp", IPPROTO_TCP},
    [REUSEPORT_TELEMETRY_UDP] = {"telemetry_udp", IPPROTO_UDP},
};

const struct reuseport_listener_name *reuseport_find_listener_name(const char *name)
{
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (!strcmp(reuseport_listener_names[id].name, name)) return &reuseport_listener_names[id];

  return NULL;
}
