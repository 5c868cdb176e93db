/* Values of settings that are more than a word or a number. */
#pragma once

#include "felix/rules/policy_rules.h"
#include "lib/base/vec.h"

typedef VEC(struct failsafe_port) failsafe_vec; /* a name for a container, as route_vec */

/* "tcp:22, udp:10.0.0.0/8:68, tcp:[fd00::/8]:443, 80": protocol (tcp, udp, sctp; a bare number is
 * tcp), net, port; separated by commas. "none" and "" are no ports. Appends to 'ret_ports', also
 * when it fails. */
MUST_CHECK bool failsafe_ports_parse(const char *text, failsafe_vec *ret_ports, struct err *err);
/* What iptables and kernel are said to be able to or not, whatever trying says. */
enum feature_override {
    FEATURE_DETECTED,
    FEATURE_OFF,
    FEATURE_ON,
};
struct feature_overrides {
    enum feature_override masq_random, snat_random;
};
/* "MASQFullyRandom=false,SNATFullyRandom=true"; "none" and "" are none. Those are all that felix
 * has a choice in. */
MUST_CHECK bool feature_overrides_parse(const char *text, struct feature_overrides *ret_features,
                                        struct err *err);
#define INTERFACE_PREFIXES_MAX 4
struct interface_prefixes {
    char items[INTERFACE_PREFIXES_MAX][8]; /* the first is what pods' interfaces are named with */
    size_t n;                              /* at least one */
};
/* "cali,tap": each one to four lower-case letters, for 11 digits follow, in 15 characters. */
MUST_CHECK bool interface_prefixes_parse(const char *text, struct interface_prefixes *ret_prefixes,
                                         struct err *err);
bool interface_is_workload(const struct interface_prefixes *prefixes, const char *name);
/* "1024:65535", or one port. */
MUST_CHECK bool port_range_parse(const char *text, uint16_t *ret_first, uint16_t *ret_last,
                                 struct err *err);
#define PORT_RANGES_TEXT_MAX 96
/* "30000:32767, 8080": at most seven of them, as iptables matches them at once. 'ret_text' is what
 * its --dports takes; "" for "none" and "". */
MUST_CHECK bool port_ranges_parse(const char *text, char ret_text[PORT_RANGES_TEXT_MAX],
                                  struct err *err);
/* True when 'name' is one of the comma-separated names or matches one of the /regular expressions/
 * (InterfaceExclude). */
bool interface_is_listed(const char *list, const char *name);
