/* Address detection. */
#include "felix/node/detect.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/alloc.h"

#define REGEX_MAX 128
#define REPEAT_MAX 16
#define DEPTH_MAX 3

/* Interfaces that carry pods, tunnels or bridges of container runtimes: never a node's own. */
static const char *const never[] = {"docker",
                                    "cbr",
                                    "dummy",
                                    "podman",
                                    "virbr",
                                    "lxcbr",
                                    "veth",
                                    "lo",
                                    "br-",
                                    "cali",
                                    "tunl",
                                    "flannel",
                                    "kube-ipvs",
                                    "cni",
                                    "vxlan.calico",
                                    "vxlan-v6.calico",
                                    "wireguard.cali",
                                    "wg-v6.cali",
                                    "nodelocaldns"};

static bool
each_item(const char *list, bool (*visit)(void *owner, const char *item, struct err *err),
          void *owner, struct err *err)
{
    AUTO_FREE char *copy = xstrdup(list);
    char *save = NULL;
    size_t n = 0;

    for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        if (++n > DETECT_ITEMS_MAX) {
            return err_set(err, "more than %d items", DETECT_ITEMS_MAX);
        }
        if (!visit(owner, item, err)) {
            return false;
        }
    }
    return n > 0 || err_set(err, "a value is wanted behind '='");
}

/* "{m}", "{m,}" or "{m,n}" at 'c' with small numbers; returns the character behind it, or NULL. */
static const char *
skip_bound(const char *c)
{
    unsigned number = 0;

    for (c++; *c != '}'; c++) {
        /* The end of the text is no digit either. */
        if (*c == ',') {
            number = 0;
        } else if (!isdigit((unsigned char)*c)) {
            return NULL;
        } else {
            number = number * 10 + (unsigned)(*c - '0');
        }
        if (number > REPEAT_MAX) {
            return NULL;
        }
    }
    return c + 1;
}

/* glibc unrolls repetitions as it compiles: "a++++++" or "((a{99}){99}){99}" would take all memory
 * there is. An interface's name has 15 characters; what names them needs none of this. */
static bool
is_modest(const char *item)
{
    unsigned depth = 0;
    bool was_repeat = false;
    const char *c = item;

    if (strlen(item) > REGEX_MAX) {
        return false;
    }
    while (c && *c != '\0') {
        bool is_repeat = strchr("*+?{", *c);
        depth += *c == '(';
        depth -= *c == ')' && depth > 0;
        if ((is_repeat && was_repeat) || depth > DEPTH_MAX) {
            return false;
        }
        was_repeat = is_repeat;
        c = *c == '{' ? skip_bound(c) : c + 1;
    }
    return c != NULL;
}

static bool
check_regex(void *owner, const char *item, struct err *err)
{
    regex_t regex;

    (void)owner;
    if (!is_modest(item) || regcomp(&regex, item, REG_EXTENDED | REG_NOSUB) != 0) {
        return err_set(err, "'%.64s' is not a regular expression for an interface", item);
    }
    regfree(&regex);
    return true;
}

static bool
check_prefix(void *owner, const char *item, struct err *err)
{
    struct prefix prefix;

    (void)owner;
    return prefix_parse(item, &prefix, err);
}

static bool
check_address(void *owner, const char *item, struct err *err)
{
    struct ip ip;

    (void)owner;
    return ip_parse(item, &ip, err);
}

bool
detect_parse(const char *text, struct detect_method *ret_method, struct err *err)
{
    static const struct {
        const char *name;
        enum detect_kind kind;
        bool (*check)(void *owner, const char *item, struct err *err); /* NULL: takes no value */
    } rows[] = {{"first-found", DETECT_FIRST_FOUND, NULL},
                {"kubernetes-internal-ip", DETECT_INTERNAL_IP, NULL},
                {"interface=", DETECT_INTERFACE, check_regex},
                {"skip-interface=", DETECT_SKIP_INTERFACE, check_regex},
                {"cidr=", DETECT_CIDR, check_prefix},
                {"can-reach=", DETECT_CAN_REACH, check_address}};
    struct detect_method method = {0};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t len = strlen(rows[i].name);
        if (rows[i].check ? strncmp(text, rows[i].name, len) != 0
                          : strcmp(text, rows[i].name) != 0) {
            continue;
        }
        method.kind = rows[i].kind;
        if (rows[i].check) {
            if (strlen(text + len) >= sizeof method.text) {
                return err_set(err, "'%.64s...' is too long", text);
            }
            if (!each_item(text + len, rows[i].check, NULL, err)) {
                return err_wrap(err, "%.*s", (int)len - 1, text);
            }
            snprintf(method.text, sizeof method.text, "%s", text + len);
        }
        *ret_method = method;
        return true;
    }
    return err_set(
        err,
        "'%.64s' is none of first-found, interface=, skip-interface=, cidr=, can-reach=, "
        "kubernetes-internal-ip",
        text);
}

/* ---- candidates
 * ------------------------------------------------------------------------------------- */

static const struct link *
link_of(const struct detect_input *input, int index)
{
    VEC_FOREACH (input->links, link) {
        if (link->index == index) {
            return link;
        }
    }
    return NULL;
}

static bool
is_excluded(const struct link *link)
{
    for (size_t i = 0; i < ARRAY_LEN(never); i++) {
        if (strncmp(link->name, never[i], strlen(never[i])) == 0) {
            return true;
        }
    }
    return false;
}

struct candidate {
    const struct link *link;
    const struct address *address;
};

static bool
is_candidate(const struct detect_input *input, const struct address *address, uint8_t family,
             struct candidate *ret)
{
    const struct link *link = link_of(input, address->index);

    if (!link || !link->is_up || link->is_loopback || address->prefix.ip.family != family ||
        !address->is_usable || !ip_is_global_unicast(&address->prefix.ip)) {
        return false;
    }
    *ret = (struct candidate){link, address};
    return true;
}

static bool
matches(const char *expression, const char *name)
{
    regex_t regex;

    if (regcomp(&regex, expression, REG_EXTENDED | REG_NOSUB) != 0) {
        return false;
    }
    bool match = regexec(&regex, name, 0, NULL, 0) == 0;
    regfree(&regex);
    return match;
}

struct search {
    const struct detect_input *input;
    uint8_t family;
    const char *skip; /* expressions of skip-interface, or NULL */
    bool found;
    struct prefix address;
};

static bool
skip_match(void *owner, const char *item, struct err *err)
{
    return !matches(item, owner) || err_set(err, "skipped");
}

/* Interfaces in the order of their index: physical ones come before what was added later. */
static void
first_found(struct search *search)
{
    int best = 0;

    VEC_FOREACH (search->input->addresses, address) {
        struct candidate candidate;
        if (!is_candidate(search->input, address, search->family, &candidate) ||
            is_excluded(candidate.link) ||
            (search->skip &&
             !each_item(search->skip, skip_match, (void *)(uintptr_t)candidate.link->name, NULL))) {
            continue;
        }
        if (!search->found || candidate.link->index < best) {
            best = candidate.link->index;
            search->address = address->prefix;
            search->found = true;
        }
    }
}

static bool
by_interface(void *owner, const char *item, struct err *err)
{
    struct search *search = owner;

    (void)err;
    VEC_FOREACH (search->input->addresses, address) {
        struct candidate candidate;
        if (!search->found && is_candidate(search->input, address, search->family, &candidate) &&
            matches(item, candidate.link->name)) {
            search->address = address->prefix;
            search->found = true;
        }
    }
    return true;
}

static bool
by_cidr(void *owner, const char *item, struct err *err)
{
    struct search *search = owner;
    struct prefix cidr;

    if (!prefix_parse(item, &cidr, err)) {
        return false;
    }
    VEC_FOREACH (search->input->addresses, address) {
        struct candidate candidate;
        if (!search->found && is_candidate(search->input, address, search->family, &candidate) &&
            prefix_contains_ip(&cidr, &address->prefix.ip)) {
            search->address = address->prefix;
            search->found = true;
        }
    }
    return true;
}

static void
by_address(struct search *search, const struct ip *ip)
{
    VEC_FOREACH (search->input->addresses, address) {
        if (ip->family == search->family && ip_equal(&address->prefix.ip, ip)) {
            search->address = address->prefix;
            search->found = true;
        }
    }
}

static void
by_internal_ip(struct search *search)
{
    const struct node *node = search->input->node;

    if (node) {
        by_address(search, search->family == 4 ? &node->internal_ip4 : &node->internal_ip6);
    }
}

bool
detect_address(const struct detect_method *method, uint8_t family, const struct detect_input *input,
               struct prefix *ret_address, struct err *err)
{
    struct search search = {.input = input, .family = family};
    bool good = true;

    switch (method->kind) {
    case DETECT_SKIP_INTERFACE:
        search.skip = method->text;
        first_found(&search);
        break;
    case DETECT_FIRST_FOUND:
        first_found(&search);
        break;
    case DETECT_INTERFACE:
        good = each_item(method->text, by_interface, &search, err);
        break;
    case DETECT_CIDR:
        good = each_item(method->text, by_cidr, &search, err);
        break;
    case DETECT_CAN_REACH:
        by_address(&search, &input->reachable_from);
        break;
    case DETECT_INTERNAL_IP:
        by_internal_ip(&search);
        break;
    }
    if (!good) {
        return false;
    }
    if (!search.found) {
        return err_set(err, "no IPv%u address of an interface that is up fits", family);
    }
    *ret_address = search.address;
    return true;
}

bool
detect_source_towards(const char *target, struct ip *ret_source, struct err *err)
{
    struct sockaddr_storage addr = {0};
    struct sockaddr_in *addr4 = (void *)&addr;
    struct sockaddr_in6 *addr6 = (void *)&addr;
    socklen_t len = sizeof addr;
    struct ip ip;

    if (!ip_parse(target, &ip, err)) {
        return false;
    }
    addr.ss_family = (sa_family_t)ip_af(&ip);
    if (ip.family == 4) {
        addr4->sin_port = htons(80);
        memcpy(&addr4->sin_addr, ip.bytes, 4);
    } else {
        addr6->sin6_port = htons(80);
        memcpy(&addr6->sin6_addr, ip.bytes, 16);
    }
    AUTO_FD int fd = socket(addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) != 0) {
        return err_sys(err, errno, "no way to %s", target);
    }
    *ret_source =
        ip.family == 4 ? ip_from_bytes(4, &addr4->sin_addr) : ip_from_bytes(6, &addr6->sin6_addr);
    return true;
}
