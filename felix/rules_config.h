/* Settings, pools and services → what rendering has to know. Pure. */
#pragma once

#include "felix/rules/static_rules.h"
#include "felix/settings.h"
#include "felix/settings_parse.h"
#include "lib/model/store.h"

struct rules_config {
    struct static_rules_config fixed; /* fixed.policy is &policy */
    struct policy_rules_config policy;
    /* What 'policy' points at. Service nets are those of BGPConfiguration "default": cluster,
     * external and load balancer addresses. */
    VEC(struct prefix) service_nets;
    failsafe_vec failsafe_in, failsafe_out;
    struct interface_prefixes prefixes;
    const char *other_prefixes[INTERFACE_PREFIXES_MAX];
    char node_ports[PORT_RANGES_TEXT_MAX];
    /* A service net that overlaps a pool is left out, or no pod of it could be reached; it is named
     * here, for a warning. Empty: all is well. */
    char warning[192];
};

/* 'settings' is borrowed. The caller frees with rules_config_free(). */
struct rules_config *rules_config_new(const struct felix_settings *settings,
                                      const struct store *store, const struct features *features,
                                      bool has_tunnel);
void rules_config_free(struct rules_config *config); /* NULL is fine */
