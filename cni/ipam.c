/* The address files, in host-local's layout. Called by verbs.c, under the lock of the network. */
#include "cni/ipam.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/str.h"

#define FILE_MAX 1024
/* A file this young may belong to an ADD whose interface is not there yet: longer than felix may be
 * waited for (policy_setup_timeout_seconds). */
#define YOUNG_S 700
/* Addresses tried in one allocation: a full /16 fits. */
#define TRIES_MAX 70000

struct ipam {
    const struct cni_config *config;
    struct wire *wire;
    char *dir;
    int lock;
};

bool
ipam_open(const struct cni_config *config, struct wire *wire, struct ipam **ret_ipam,
          struct err *err)
{
    AUTO(str) struct str path = STR_INIT;
    struct ipam *ipam = NEW(struct ipam);

    ipam->config = config;
    ipam->wire = wire;
    str_addf(&path, "%s/%s", config->data_dir, config->name);
    ipam->dir = xstrdup(path.text);
    ipam->lock = -1;
    if (!file_make_dir(ipam->dir, 0755, err)) {
        ipam_close(ipam);
        return err_code(err, CNI_IO, "IPAM: %s", err ? err->text : "");
    }
    str_add(&path, "/lock");
    ipam->lock = open(path.text, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (ipam->lock < 0 || flock(ipam->lock, LOCK_EX) != 0) {
        int number = errno;
        ipam_close(ipam);
        return err_code(err, CNI_IO, "IPAM: lock %s: %s", path.text, strerror(number));
    }
    *ret_ipam = ipam;
    return true;
}

void
ipam_close(struct ipam *ipam)
{
    if (ipam) {
        own_close_fd(&ipam->lock);
        free(ipam->dir);
        free(ipam);
    }
}

/* Content is "<id>\r\n<ifname>", "<id>\n<ifname>", or from old versions "<id>" alone. */
static bool
read_owner(const char *path, char *ret_id, char *ret_ifname)
{
    AUTO(str) struct str text = STR_INIT;

    if (!file_read(path, FILE_MAX, &text, NULL)) {
        return false;
    }
    const char *content = str_text(&text);
    size_t id_len = strcspn(content, "\r\n");
    const char *rest = content + id_len;
    rest += strspn(rest, "\r\n");
    snprintf(ret_id, FILE_MAX, "%.*s", (int)id_len, content);
    snprintf(ret_ifname, FILE_MAX, "%.*s", (int)strcspn(rest, "\r\n \t"), rest);
    return true;
}

void
ipam_each(const struct ipam *ipam,
          void (*each)(void *owner, const char *path, const char *container_id, const char *ifname),
          void *owner)
{
    DIR *dir = opendir(ipam->dir);

    if (!dir) {
        return;
    }
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        AUTO(str) struct str path = STR_INIT;
        char id[FILE_MAX];
        char ifname[FILE_MAX];
        struct ip ip;
        if (!ip_parse(entry->d_name, &ip, NULL)) {
            continue;
        }
        str_addf(&path, "%s/%s", ipam->dir, entry->d_name);
        if (read_owner(path.text, id, ifname)) {
            each(owner, path.text, id, ifname);
        }
    }
    closedir(dir);
}

struct match {
    const char *container_id;
    const char *ifname;
    path_vec *paths;
};

static void
match_file(void *owner, const char *path, const char *container_id, const char *ifname)
{
    const struct match *match = owner;

    if (strcmp(container_id, match->container_id) == 0 &&
        (*ifname == '\0' || strcmp(ifname, match->ifname) == 0)) {
        VEC_PUSH(match->paths, xstrdup(path));
    }
}

void
ipam_files_of(const struct ipam *ipam, const char *container_id, const char *ifname,
              path_vec *ret_paths)
{
    struct match match = {container_id, ifname, ret_paths};

    ipam_each(ipam, match_file, &match);
}

void
ipam_release(const struct ipam *ipam, const char *container_id, const char *ifname)
{
    path_vec paths = VEC_INIT;

    ipam_files_of(ipam, container_id, ifname, &paths);
    VEC_FOREACH (&paths, path) {
        unlink(*path);
    }
    ipam_paths_done(&paths);
}

static void
sweep_file(void *owner, const char *path, const char *container_id, const char *ifname)
{
    (void)owner;
    (void)ifname;
    if (container_id[0] == '\0') {
        unlink(path);
    }
}

void
ipam_sweep(const struct ipam *ipam)
{
    ipam_each(ipam, sweep_file, NULL);
}

void
ipam_paths_done(path_vec *paths)
{
    VEC_FOREACH (paths, path) {
        free(*path);
    }
    VEC_DONE(paths);
}

/* ---- allocation
 * ------------------------------------------------------------------------------------ */

static struct ip
last_of(const struct ipam_range *range)
{
    struct ip last = range->subnet.ip;

    if (range->end.family) {
        return range->end;
    }
    for (unsigned bit = range->subnet.len; bit < ip_bits(&last); bit++) {
        last.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    }
    return last;
}

static struct ip
first_of(const struct ipam_range *range)
{
    return range->start.family ? range->start : range->subnet.ip;
}

/* Never the network address, the first host address (the node's tunnel address, and what host-local
 * takes for the gateway), or the IPv4 broadcast address. */
static bool
is_special(const struct ipam_range *range, const struct ip *ip)
{
    struct ip first_host;
    struct ipam_range whole = {.subnet = range->subnet};
    struct ip last = last_of(&whole);

    if (range->subnet.len >= ip_bits(ip) - 1) {
        return false;
    }
    return ip_equal(ip, &range->subnet.ip) ||
           (ip_add(&range->subnet.ip, 1, &first_host) && ip_equal(ip, &first_host)) ||
           (ip->family == 4 && ip_equal(ip, &last));
}

static void
address_path(const struct ipam *ipam, const struct ip *ip, struct str *path)
{
    char text[IP_TEXT_MAX];

    str_clear(path);
    str_addf(path, "%s/%s", ipam->dir, ip_format(ip, text));
}

static bool
is_nobodys(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && info.st_size == 0;
}

/* Creates the address's file; false when it is taken. */
static bool
take(struct ipam *ipam, const struct ip *ip, const struct cni_env *env)
{
    AUTO(str) struct str path = STR_INIT;
    AUTO(str) struct str content = STR_INIT;

    if (wire_is_routed_to_pod(ipam->wire, ip)) {
        return false;
    }
    address_path(ipam, ip, &path);
    int flags = is_nobodys(path.text) ? O_TRUNC : O_EXCL;
    AUTO_FD int fd = open(path.text, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
    if (fd < 0) {
        return false;
    }
    str_addf(&content, "%s\r\n%s", env->container_id, env->ifname);
    if (write(fd, content.text, content.len) != (ssize_t)content.len) {
        unlink(path.text);
        return false;
    }
    return true;
}

static void
remember(const struct ipam *ipam, size_t family, const struct ip *ip)
{
    AUTO(str) struct str path = STR_INIT;
    char text[IP_TEXT_MAX];

    str_addf(&path, "%s/last_reserved_ip.%zu", ipam->dir, family);
    ip_format(ip, text);
    /* Losing it costs only the order in which addresses are reused. Not emptied first: ext4 waits
     * for the disk when a file that was emptied is closed. */
    ssize_t len = (ssize_t)strlen(text);
    AUTO_FD int fd = open(path.text, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && (write(fd, text, (size_t)len) != len || ftruncate(fd, len) != 0)) {
        unlink(path.text);
    }
}

static bool
recall(const struct ipam *ipam, size_t family, struct ip *ret_ip)
{
    AUTO(str) struct str path = STR_INIT;
    AUTO(str) struct str text = STR_INIT;

    str_addf(&path, "%s/last_reserved_ip.%zu", ipam->dir, family);
    return file_read(path.text, FILE_MAX, &text, NULL) && ip_parse(str_text(&text), ret_ip, NULL);
}

/* The address behind 'ip' in the ranges, going round. */
static struct ip
next_address(const ipam_range_vec *ranges, size_t *at, const struct ip *ip)
{
    const struct ipam_range *range = &ranges->items[*at];
    struct ip last = last_of(range);
    struct ip next;

    if (ip_compare(ip, &last) < 0 && ip_add(ip, 1, &next)) {
        return next;
    }
    *at = (*at + 1) % ranges->n;
    return first_of(&ranges->items[*at]);
}

static void
start_at(const struct ipam *ipam, size_t family, const ipam_range_vec *ranges, size_t *ret_at,
         struct ip *ret_ip)
{
    struct ip last;

    *ret_at = 0;
    *ret_ip = first_of(&ranges->items[0]);
    if (!recall(ipam, family, &last)) {
        return;
    }
    for (size_t i = 0; i < ranges->n; i++) {
        struct ip first = first_of(&ranges->items[i]);
        struct ip end = last_of(&ranges->items[i]);
        if (last.family == first.family && ip_compare(&last, &first) >= 0 &&
            ip_compare(&last, &end) <= 0) {
            *ret_at = i;
            *ret_ip = next_address(ranges, ret_at, &last);
            return;
        }
    }
}

static bool
search(struct ipam *ipam, size_t family, const ipam_range_vec *ranges, const struct cni_env *env,
       struct ip *ret_ip)
{
    size_t at = 0;
    struct ip ip;

    start_at(ipam, family, ranges, &at, &ip);
    struct ip first_tried = ip;
    for (size_t i = 0; i < TRIES_MAX; i++) {
        if (!is_special(&ranges->items[at], &ip) && take(ipam, &ip, env)) {
            remember(ipam, family, &ip);
            *ret_ip = ip;
            return true;
        }
        ip = next_address(ranges, &at, &ip);
        if (ip_equal(&ip, &first_tried)) {
            return false;
        }
    }
    return false;
}

/* Nothing that is older than the running kernel is young; and a clock that was set back must not
 * make a file young for ever. */
static bool
is_young(const char *path)
{
    struct stat info;
    struct timespec now;
    struct timespec up;

    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &up);
    if (stat(path, &info) != 0) {
        return true;
    }
    int64_t age_s = now.tv_sec - info.st_mtim.tv_sec;
    return age_s > -YOUNG_S && age_s < YOUNG_S && age_s <= up.tv_sec;
}

static bool
is_alive(const struct ipam *ipam, const char *path, const char *container_id)
{
    struct ip ip;

    return is_young(path) || !ip_parse(strrchr(path, '/') + 1, &ip, NULL) ||
           wire_is_routed_to_pod(ipam->wire, &ip) || wire_has_alias(ipam->wire, container_id);
}

static void
reclaim_file(void *owner, const char *path, const char *container_id, const char *ifname)
{
    (void)ifname;
    if (!is_alive(owner, path, container_id)) {
        unlink(path);
    }
}

/* Requested addresses must lie in a range; they are not searched for. */
static bool
take_requested(struct ipam *ipam, const ipam_range_vec *ranges, const struct ip *ip,
               const struct cni_env *env, struct err *err)
{
    char text[IP_TEXT_MAX];

    VEC_FOREACH (ranges, range) {
        struct ip first = first_of(range);
        struct ip last = last_of(range);
        if (ip_compare(ip, &first) >= 0 && ip_compare(ip, &last) <= 0 && !is_special(range, ip)) {
            return take(ipam, ip, env) ||
                   err_code(err, CNI_EXHAUSTED, "IPAM: requested address %s is in use",
                            ip_format(ip, text));
        }
    }
    return err_code(err, CNI_BAD_CONFIG, "IPAM: requested address %s is in none of the ranges",
                    ip_format(ip, text));
}

static bool
allocate_family(struct ipam *ipam, size_t family, const ipam_range_vec *ranges,
                const struct cni_env *env, struct ip *ret_ip, struct err *err)
{
    struct ip requested = {0};

    VEC_FOREACH (&ipam->config->requested, it) {
        if (it->family == (family == 0 ? 4 : 6)) {
            requested = *it;
        }
    }
    if (env->ip && requested.family == 0 && ip_parse(env->ip, &requested, NULL) &&
        requested.family != (family == 0 ? 4 : 6)) {
        requested = (struct ip){0};
    }
    if (requested.family) {
        *ret_ip = requested;
        return take_requested(ipam, ranges, &requested, env, err);
    }
    if (search(ipam, family, ranges, env, ret_ip)) {
        return true;
    }
    ipam_each(ipam, reclaim_file, ipam);
    return search(ipam, family, ranges, env, ret_ip) ||
           err_code(err, CNI_EXHAUSTED, "IPAM: no IPv%d address is left in %s", family == 0 ? 4 : 6,
                    ipam->dir);
}

bool
ipam_allocate(struct ipam *ipam, const struct cni_env *env, const ipam_range_vec ranges[2],
              struct cni_attachment *attachment, struct err *err)
{
    bool good = true;

    attachment->n_ips = 0;
    for (size_t family = 0; family < 2 && good; family++) {
        struct ip ip;
        if (ranges[family].n == 0) {
            continue;
        }
        good = allocate_family(ipam, family, &ranges[family], env, &ip, err);
        if (good) {
            attachment->ips[attachment->n_ips++] = prefix_of_ip(&ip);
        }
    }
    for (size_t i = 0; i < attachment->n_ips && !good; i++) {
        AUTO(str) struct str path = STR_INIT;
        address_path(ipam, &attachment->ips[i].ip, &path);
        unlink(path.text);
    }
    return good;
}

/* Free, or held by nothing that lives: an ADD would get it. */
static bool
can_be_had(const struct ipam *ipam, const struct ip *ip)
{
    AUTO(str) struct str path = STR_INIT;
    char id[FILE_MAX];
    char ifname[FILE_MAX];

    address_path(ipam, ip, &path);
    if (!read_owner(path.text, id, ifname)) {
        return !wire_is_routed_to_pod(ipam->wire, ip);
    }
    return id[0] == '\0' || !is_alive(ipam, path.text, id);
}

bool
ipam_has_room(struct ipam *ipam, const ipam_range_vec ranges[2], struct err *err)
{
    for (size_t family = 0; family < 2; family++) {
        const ipam_range_vec *set = &ranges[family];
        size_t at = 0;
        struct ip ip;
        bool found = set->n == 0;
        if (set->n > 0) {
            start_at(ipam, family, set, &at, &ip);
            struct ip first_tried = ip;
            for (size_t i = 0; i < TRIES_MAX && !found; i++) {
                found = !is_special(&set->items[at], &ip) && can_be_had(ipam, &ip);
                ip = next_address(set, &at, &ip);
                if (ip_equal(&ip, &first_tried)) {
                    break;
                }
            }
        }
        if (!found) {
            return err_code(err, CNI_NOT_AVAILABLE, "IPAM: no IPv%d address is left in %s",
                            family == 0 ? 4 : 6, ipam->dir);
        }
    }
    return true;
}
