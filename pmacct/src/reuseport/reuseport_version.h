/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The version of all this: of the selector, the tool, the manual page. Written here alone. */
#ifndef REUSEPORT_VERSION_H
#define REUSEPORT_VERSION_H

#define REUSEPORT_VERSION "0.1.0"

#endif
