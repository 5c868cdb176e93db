/* Set ids and kernel names; which sets a policy's rules need. Used by felix/calc (fills),
 * felix/rules (refers) and felix/evaluate (asks). */
#include "felix/rules/set_names.h"

#include <sha2.h>
#include <stdio.h>
#include <string.h>

#define KERNEL_NAME_LEN 31
#define DIGEST_LEN 28

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Without padding. */
static void
encode(const uint8_t *data, size_t len, char *out)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | data[i];
        for (n_bits += 8; n_bits >= 6; n_bits -= 6) {
            *out++ = base64url[bits >> (n_bits - 6) & 63];
        }
    }
    if (n_bits > 0) {
        *out++ = base64url[bits << (6 - n_bits) & 63];
    }
    *out = '\0';
}

/* SHA-224 is SHA-256 from another start, cut (FIPS 180-4, 5.3.2); Debian's libmd has the latter
 * only. */
static void
sha224_init(SHA2_CTX *context)
{
    static const uint32_t start[] = {0xc1059ed8, 0x367cd507, 0x3070dd17, 0xf70e5939,
                                     0xffc00b31, 0x68581511, 0x64f98fa7, 0xbefa4fa4};

    SHA256Init(context);
    memcpy(context->state.st32, start, sizeof start);
}

/* id = prefix + base64url(SHA-224(prefix + parts, each ended by a NUL but for the last)). */
static void
identify(const char *prefix, const char *const *parts, size_t n, char ret_id[POLICY_SET_ID_MAX])
{
    SHA2_CTX context;
    uint8_t digest[SHA256_DIGEST_LENGTH];
    int len = snprintf(ret_id, POLICY_SET_ID_MAX, "%s", prefix);

    sha224_init(&context);
    SHA256Update(&context, (const uint8_t *)prefix, strlen(prefix));
    for (size_t i = 0; i < n; i++) {
        bool is_last = i + 1 == n;
        SHA256Update(&context, (const uint8_t *)parts[i], strlen(parts[i]) + !is_last);
    }
    SHA256Final(digest, &context);
    encode(digest, DIGEST_LEN, ret_id + len);
}

void
set_of_selector(const char *canonical, struct policy_set *ret_set)
{
    memset(ret_set, 0, sizeof *ret_set);
    ret_set->kind = SET_NETS;
    identify("s:", &canonical, 1, ret_set->id);
}

void
set_of_nodes(const char *canonical, struct policy_set *ret_set)
{
    memset(ret_set, 0, sizeof *ret_set);
    ret_set->kind = SET_NETS;
    identify("node:", &canonical, 1, ret_set->id);
}

void
set_of_named_port(const char *canonical, uint8_t protocol, const char *name,
                  struct policy_set *ret_set)
{
    char number[4];
    const char *parts[] = {canonical != NULL ? canonical : "", number, name};

    memset(ret_set, 0, sizeof *ret_set);
    ret_set->kind = SET_IP_PORTS;
    snprintf(number, sizeof number, "%u", protocol);
    identify("n:", parts, 3, ret_set->id);
}

void
set_of_service(const char *ns, const char *name, bool with_ports, struct policy_set *ret_set)
{
    const char *parts[] = {ns, name, with_ports ? "ports" : "addresses"};

    memset(ret_set, 0, sizeof *ret_set);
    ret_set->kind = with_ports ? SET_IP_PORTS : SET_NETS;
    identify("svc:", parts, 3, ret_set->id);
}

void
set_kernel_name(const struct policy_set *set, uint8_t family, char ret_name[32])
{
    snprintf(ret_name, 32, "cali%c0%.*s", family == 4 ? '4' : '6',
             KERNEL_NAME_LEN - (int)strlen("cali40"), set->id);
}

/* ---- what a policy needs ----------------------------------------------------------------------
 */

struct walk {
    void (*each)(void *owner, const struct set_need *need);
    void *owner;
};

static void
need_selector(const struct walk *walk, const char *selector)
{
    struct set_need need = {.selector = selector};

    if (selector != NULL) {
        set_of_selector(selector, &need.set);
        walk->each(walk->owner, &need);
    }
}

static void
need_ports(const struct walk *walk, const struct policy_rule *rule, const struct rule_peer *peer,
           bool is_negated)
{
    char *const *names = is_negated ? peer->not_named_ports : peer->named_ports;
    size_t n = is_negated ? peer->n_not_named_ports : peer->n_named_ports;

    for (size_t i = 0; i < n; i++) {
        struct set_need need = {
            .selector = peer->selector, .port_name = names[i], .protocol = (uint8_t)rule->protocol};
        set_of_named_port(need.selector, need.protocol, need.port_name, &need.set);
        walk->each(walk->owner, &need);
    }
}

static void
need_peer(const struct walk *walk, const struct policy_rule *rule, const struct rule_peer *peer)
{
    need_selector(walk, peer->selector);
    need_selector(walk, peer->not_selector);
    need_ports(walk, rule, peer, false);
    need_ports(walk, rule, peer, true);
    if (peer->node_selector != NULL) {
        struct set_need need = {.node_selector = peer->node_selector};
        set_of_nodes(need.node_selector, &need.set);
        walk->each(walk->owner, &need);
    }
    if (peer->service_name != NULL) {
        struct set_need need = {.service_ns = peer->service_ns, .service_name = peer->service_name};
        set_of_service(need.service_ns, need.service_name, peer == &rule->destination, &need.set);
        walk->each(walk->owner, &need);
    }
}

void
policy_each_set(const struct policy *policy, void (*each)(void *owner, const struct set_need *need),
                void *owner)
{
    const struct walk walk = {.each = each, .owner = owner};
    const struct policy_rule *rules[] = {policy->ingress, policy->egress};
    const size_t n_rules[] = {policy->n_ingress, policy->n_egress};

    for (size_t direction = 0; direction < 2; direction++) {
        for (size_t i = 0; i < n_rules[direction]; i++) {
            need_peer(&walk, &rules[direction][i], &rules[direction][i].source);
            need_peer(&walk, &rules[direction][i], &rules[direction][i].destination);
        }
    }
}
