/* Reading before writing: a write that changes nothing would still wake everybody who watches. */
#include "felix/dataplane/sysctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"

#define PATH_ROOM 128

bool
sysctl_ensure(const char *path, const char *value, bool *ret_changed, struct err *err)
{
    AUTO(str) struct str text = STR_INIT;

    if (!file_read(path, 4096, &text, err)) {
        return false;
    }
    size_t len = strcspn(str_text(&text), "\n");
    if (len == strlen(value) && strncmp(str_text(&text), value, len) == 0) {
        return true;
    }
    if (!file_write_in_place(path, value, err)) {
        return false;
    }
    if (ret_changed) {
        *ret_changed = true;
    }
    return true;
}

bool
sysctl_forwarding(bool ipv6, bool *ret_changed, struct err *err)
{
    struct err reason = ERR_INIT;

    if (!sysctl_ensure("/proc/sys/net/ipv4/ip_forward", "1", ret_changed, err)) {
        return false;
    }
    if (ipv6 &&
        !sysctl_ensure("/proc/sys/net/ipv6/conf/all/forwarding", "1", ret_changed, &reason) &&
        reason.code != ENOENT) {
        return err_code(err, reason.code, "%s", reason.text);
    }
    return true;
}

bool
sysctl_workload(const char *ifname, bool ipv6, bool *ret_changed, struct err *err)
{
    static const struct {
        const char *pattern;
        const char *value;
        bool is_ipv6;
    } settings[] = {
        {"/proc/sys/net/ipv4/conf/%s/proxy_arp", "1", false},
        {"/proc/sys/net/ipv4/neigh/%s/proxy_delay", "0", false},
        {"/proc/sys/net/ipv4/conf/%s/forwarding", "1", false},
        {"/proc/sys/net/ipv4/conf/%s/route_localnet", "1", false},
        {"/proc/sys/net/ipv6/conf/%s/accept_ra", "0", true},
        {"/proc/sys/net/ipv6/conf/%s/proxy_ndp", "1", true},
        {"/proc/sys/net/ipv6/conf/%s/forwarding", "1", true},
    };

    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        struct err reason = ERR_INIT;
        char path[PATH_ROOM];
        if (settings[i].is_ipv6 && !ipv6) {
            continue;
        }
        /* The interface name comes from the kernel and cannot hold a slash. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(path, sizeof path, settings[i].pattern, ifname);
#pragma GCC diagnostic pop
        if (!sysctl_ensure(path, settings[i].value, ret_changed, &reason) &&
            !(settings[i].is_ipv6 && reason.code == ENOENT)) {
            return err_code(err, reason.code, "%s", reason.text);
        }
    }
    return true;
}

bool
sysctl_source_check(const char *ifname, bool is_on, struct err *err)
{
    AUTO(str) struct str value = STR_INIT;
    char path[PATH_ROOM];

    if (is_on && !file_read("/proc/sys/net/ipv4/conf/default/rp_filter", 64, &value, err)) {
        return false;
    }
    char text[16];
    snprintf(text, sizeof text, "%.*s", (int)strcspn(str_text(&value), "\n"), str_text(&value));
    snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/rp_filter", ifname);
    return sysctl_ensure(path, is_on ? text : "0", NULL, err);
}

bool
sysctl_neighbour_room(const char *family, uint64_t *ret_room)
{
    AUTO(str) struct str text = STR_INIT;
    char path[PATH_ROOM];
    char *end = NULL;

    snprintf(path, sizeof path, "/proc/sys/net/%s/neigh/default/gc_thresh3", family);
    if (!file_read(path, 64, &text, NULL)) {
        return false;
    }
    *ret_room = strtoull(str_text(&text), &end, 10);
    return end != str_text(&text);
}
