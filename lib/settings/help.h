/* What a settings table says about itself. Used by settings.c only. */
#pragma once

#include <stdbool.h>

#include "lib/settings/settings.h"

/* Prints and returns true when 'arg' is --help, -h, --help-markdown, --version or -v. */
bool settings_help(const struct settings_spec *spec, const char *arg);
/* "iptables-refresh-interval" for "IptablesRefreshInterval", "ipv6-support" for "Ipv6Support",
 * "ip" for "IP"; the caller frees. */
char *settings_flag_name(const char *name);
