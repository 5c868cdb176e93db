/* What our chains are called; ids are cut to what fits. Called by whoever writes a chain, or a rule
 * that goes to one. */
#include <stdio.h>
#include <string.h>

#include "felix/rules/policy_rules.h"

/* The endpoint of all interfaces without one; longer than any interface's name. */
#define ANY_INTERFACE "every-other-iface"

const char *
policy_chain_name(const struct active_policy *policy, enum direction direction,
                  char ret_name[CHAIN_NAME_MAX])
{
    snprintf(ret_name, CHAIN_NAME_MAX, "cali-p%c-%.20s", direction == INGRESS ? 'i' : 'o',
             policy->id);
    return ret_name;
}

const char *
verdict_list_chain_name(const struct verdict_list *list, char ret_name[CHAIN_NAME_MAX])
{
    snprintf(ret_name, CHAIN_NAME_MAX, "cali-t%c-%.20s", list->direction == INGRESS ? 'i' : 'o',
             list->id);
    return ret_name;
}

const char *
endpoint_chain_name(const char *ifname, bool is_host, enum verdict_use use,
                    enum direction direction, char ret_name[CHAIN_NAME_MAX])
{
    bool is_from = is_host == (direction == INGRESS);

    snprintf(ret_name, CHAIN_NAME_MAX, "cali-%c%c%s-%.17s", is_from ? 'f' : 't',
             is_host ? 'h' : 'w', use == USE_FORWARD ? "fw" : "",
             strcmp(ifname, "*") == 0 ? ANY_INTERFACE : ifname);
    return ret_name;
}

bool
rules_ifname_is_usable(const char *ifname)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t len = strlen(ifname);

    return len > 0 && len < 16 && strspn(ifname, good) == len && ifname[0] != '-';
}
