/* Used by the table of settings, to check, and by rules_config.c, to use them. */
#include "felix/settings_parse.h"

#include <netinet/in.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/alloc.h"
#include "lib/base/parse.h"

static char *
trim(char *text)
{
    text += strspn(text, " \t");
    for (size_t len = strlen(text); len > 0 && strchr(" \t", text[len - 1]); len--) {
        text[len - 1] = '\0';
    }
    return text;
}

static bool
protocol_parse(const char *text, uint8_t *ret_protocol, struct err *err)
{
    static const struct {
        const char *name;
        uint8_t number;
    } known[] = {{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"sctp", IPPROTO_SCTP}};

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strcasecmp(text, known[i].name) == 0) {
            *ret_protocol = known[i].number;
            return true;
        }
    }
    return err_set(err, "'%.32s' is not tcp, udp or sctp", text);
}

/* "10.0.0.0/8", or in brackets because of the colons of IPv6. */
static bool
net_parse(char *text, struct failsafe_port *port, struct err *err)
{
    size_t len = strlen(text);
    struct prefix net;

    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text[len - 1] = '\0';
        text++;
    }
    if (!prefix_parse_host(text, &net, err)) {
        return false;
    }
    port->has_net = true;
    port->net = prefix_network(&net);
    return true;
}

static bool
failsafe_parse(char *item, struct failsafe_port *ret_port, struct err *err)
{
    struct failsafe_port port = {.protocol = IPPROTO_TCP};
    char *first = strchr(item, ':'), *last = strrchr(item, ':');
    uint32_t number = 0;

    if (first != NULL) {
        *first = *last = '\0';
        if (!protocol_parse(item, &port.protocol, err) ||
            (first != last && !net_parse(first + 1, &port, err))) {
            return false;
        }
    }
    if (!parse_u32(last != NULL ? last + 1 : item, 1, UINT16_MAX, &number, err)) {
        return false;
    }
    port.port = (uint16_t)number;
    *ret_port = port;
    return true;
}

bool
failsafe_ports_parse(const char *text, failsafe_vec *ret_ports, struct err *err)
{
    AUTO_FREE char *copy = xstrdup(text);
    char *save = NULL;

    if (strcasecmp(trim(copy), "none") == 0) {
        return true;
    }
    for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        struct failsafe_port port;
        item = trim(item);
        if (*item == '\0') {
            continue;
        }
        if (!failsafe_parse(item, &port, err)) {
            return err_wrap(err, "'%.64s' is not protocol:net:port", text);
        }
        VEC_PUSH(ret_ports, port);
    }
    return true;
}

bool
interface_prefixes_parse(const char *text, struct interface_prefixes *ret_prefixes, struct err *err)
{
    AUTO_FREE char *copy = xstrdup(text);
    struct interface_prefixes prefixes = {0};
    char *save = NULL;

    for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        item = trim(item);
        size_t len = strlen(item);
        if (len < 1 || len > 4 || strspn(item, "abcdefghijklmnopqrstuvwxyz") != len) {
            return err_set(err, "'%.32s' is not one to four lower-case letters", item);
        }
        if (prefixes.n == INTERFACE_PREFIXES_MAX) {
            return err_set(err, "'%.64s' are more than %d", text, INTERFACE_PREFIXES_MAX);
        }
        memcpy(prefixes.items[prefixes.n++], item, len + 1);
    }
    if (prefixes.n == 0) {
        return err_set(err, "'%.32s' is not one to four lower-case letters", text);
    }
    *ret_prefixes = prefixes;
    return true;
}

bool
interface_is_workload(const struct interface_prefixes *prefixes, const char *name)
{
    for (size_t i = 0; i < prefixes->n; i++) {
        if (strncmp(name, prefixes->items[i], strlen(prefixes->items[i])) == 0) {
            return true;
        }
    }
    return false;
}

static bool
feature_parse(char *item, struct feature_overrides *features, struct err *err)
{
    const struct {
        const char *name;
        enum feature_override *override;
    } known[] = {{"MASQFullyRandom", &features->masq_random},
                 {"SNATFullyRandom", &features->snat_random}};
    char *equals = strchr(item, '=');

    if (!equals) {
        return err_set(err, "'%.64s' is not feature=true or feature=false", item);
    }
    *equals = '\0';
    const char *name = trim(item), *value = trim(equals + 1);
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strcasecmp(name, known[i].name) != 0) {
            continue;
        }
        *known[i].override = strcasecmp(value, "false") == 0 ? FEATURE_OFF : FEATURE_ON;
        return *known[i].override == FEATURE_OFF || strcasecmp(value, "true") == 0 ||
               err_set(err, "'%.32s' is not true or false", value);
    }
    return err_set(err,
                   "felix has no choice in '%.64s'; there are MASQFullyRandom and "
                   "SNATFullyRandom",
                   name);
}

bool
feature_overrides_parse(const char *text, struct feature_overrides *ret_features, struct err *err)
{
    AUTO_FREE char *copy = xstrdup(text);
    struct feature_overrides features = {0};
    char *save = NULL;

    if (strcasecmp(trim(copy), "none") == 0) {
        return true;
    }
    for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        item = trim(item);
        if (*item != '\0' && !feature_parse(item, &features, err)) {
            return false;
        }
    }
    *ret_features = features;
    return true;
}

bool
port_range_parse(const char *text, uint16_t *ret_first, uint16_t *ret_last, struct err *err)
{
    const char *colon = strchr(text, ':');
    AUTO_FREE char *low = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
    uint32_t first = 0, last = 0;

    if (!parse_u32(low, 1, UINT16_MAX, &first, NULL) ||
        !parse_u32(colon ? colon + 1 : low, 1, UINT16_MAX, &last, NULL) || first > last) {
        return err_set(err, "'%.32s' is not a range of ports such as 32768:65535", text);
    }
    *ret_first = (uint16_t)first;
    *ret_last = (uint16_t)last;
    return true;
}

#define PORT_RANGES_MAX 7

bool
port_ranges_parse(const char *text, char ret_text[PORT_RANGES_TEXT_MAX], struct err *err)
{
    AUTO_FREE char *copy = xstrdup(text);
    char *save = NULL;
    size_t n = 0, len = 0;

    ret_text[0] = '\0';
    if (strcasecmp(text, "none") == 0) {
        return true;
    }
    for (char *item = strtok_r(copy, ", ", &save); item; item = strtok_r(NULL, ", ", &save)) {
        uint16_t first, last;
        if (++n > PORT_RANGES_MAX) {
            return err_set(err, "'%.32s…' has more than %d ranges", text, PORT_RANGES_MAX);
        }
        if (!port_range_parse(item, &first, &last, err)) {
            return false;
        }
        len += (size_t)snprintf(ret_text + len, PORT_RANGES_TEXT_MAX - len, "%s%u:%u",
                                n > 1 ? "," : "", first, last);
    }
    return true;
}

static bool
is_match(const char *expression, const char *name)
{
    regex_t regex;

    if (regcomp(&regex, expression, REG_EXTENDED | REG_NOSUB) != 0) {
        return false;
    }
    bool matches = regexec(&regex, name, 0, NULL, 0) == 0;
    regfree(&regex);
    return matches;
}

bool
interface_is_listed(const char *list, const char *name)
{
    AUTO_FREE char *copy = xstrdup(list);
    char *save = NULL;

    for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        item = trim(item);
        size_t len = strlen(item);
        if (len > 2 && item[0] == '/' && item[len - 1] == '/') {
            item[len - 1] = '\0';
            if (is_match(item + 1, name)) {
                return true;
            }
        } else if (strcmp(item, name) == 0) {
            return true;
        }
    }
    return false;
}
