/* Life of a client: configuration, token, timing. */
#include "lib/kube/kube.h"

#include <string.h>
#include <sys/random.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/kube/client.h"
#include "lib/kube/http.h"

LOG_MODULE("kube");

#define TOKEN_MAX ((size_t)64 * 1024)

const struct kube_timing kube_timing_default = {
    .backoff_min_ms = 400,
    .backoff_max_ms = 30 * 1000,
    .connect_ms = 10 * 1000,
    .request_ms = 60 * 1000,
    /* Bookmarks come about once a minute. */
    .silent_ms = 150 * 1000,
    .watch_min_s = 5 * 60,
    .watch_max_s = 10 * 60,
    .distrust_ms = 5 * 60 * 1000,
    .page_limit = 500,
};

/* A token goes into a header line: nothing in it may end the line. */
static bool
set_token(struct kube *kube, const char *text, struct err *err)
{
    size_t start = strspn(text, " \t\r\n");
    size_t len = strlen(text + start);

    while (len > 0 && strchr(" \t\r\n", text[start + len - 1])) {
        len--;
    }
    if (len == 0) {
        return err_set(err, "the token is empty");
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[start + i];
        if (c <= 0x20 || c >= 0x7f) {
            return err_set(err, "the token has a character that is not printable");
        }
    }
    if (kube->token.text) {
        explicit_bzero(kube->token.text, kube->token.len);
    }
    str_clear(&kube->token);
    str_add_bytes(&kube->token, text + start, len);
    return true;
}

static bool
is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool
read_token(struct kube *kube, bool must, struct err *err)
{
    const char *path = kube->config.token_file;
    AUTO(str) struct str text = STR_INIT;
    struct stat now = {0};

    if (!path) {
        return true;
    }
    /* The kubelet swaps a symbolic link; stat() follows it to another inode. */
    if (stat(path, &now) == 0 && !must && is_same_file(&now, &kube->token_stat)) {
        return true;
    }
    if (!file_read(path, TOKEN_MAX, &text, err)) {
        return false;
    }
    bool good = set_token(kube, str_text(&text), err);
    explicit_bzero(text.text, text.len);
    if (!good) {
        return err_wrap(err, "%s", path);
    }
    kube->token_stat = now;
    return true;
}

void
kube_refresh_token(struct kube *kube, bool must)
{
    struct err err = ERR_INIT;

    if (!read_token(kube, must, &err)) {
        log_warn_every(60, "%s; the last token is used on", err.text);
    }
}

bool
kube_new(uv_loop_t *loop, const char *kubeconfig, struct kube **ret_kube, struct err *err)
{
    struct kube *kube = NEW(struct kube);

    kube->loop = loop;
    kube->timing = kube_timing_default;
    if (!kube_config_load(kubeconfig, &kube->config, err) ||
        (kube->config.token && !kube->config.token_file &&
         !set_token(kube, kube->config.token, err)) ||
        !read_token(kube, true, err)) {
        kube_config_done(&kube->config);
        free(kube);
        return false;
    }
    kube->http = http_new(loop);
    *ret_kube = kube;
    return true;
}

void
kube_free(struct kube *kube)
{
    if (!kube) {
        return;
    }
    kube_forget_all(kube);
    http_free(kube->http);
    if (kube->token.text) {
        explicit_bzero(kube->token.text, kube->token.len);
    }
    str_done(&kube->token);
    kube_config_done(&kube->config);
    free(kube);
}

void
kube_set_timing(struct kube *kube, const struct kube_timing *timing)
{
    kube->timing = *timing;
}

const struct kube_timing *
kube_timing(const struct kube *kube)
{
    return &kube->timing;
}

uv_loop_t *
kube_loop(const struct kube *kube)
{
    return kube->loop;
}

const char *
kube_server(const struct kube *kube)
{
    return kube->config.server;
}

uint64_t
kube_silent_ms(const struct kube *kube)
{
    return kube->last_answer_ms ? clock_monotonic_ms() - kube->last_answer_ms : UINT64_MAX;
}

uint64_t
kube_random(uint64_t below)
{
    uint64_t value = 0;

    if (below == 0 || getrandom(&value, sizeof value, GRND_NONBLOCK) != (ssize_t)sizeof value) {
        value = clock_monotonic_us() * 0x9e3779b97f4a7c15ULL >> 16;
    }
    return below ? value % below : 0;
}

uint64_t
kube_backoff_ms(const struct kube *kube, unsigned attempt, uint64_t retry_after_ms)
{
    uint64_t max_ms = kube->timing.backoff_max_ms;
    uint64_t delay_ms = kube->timing.backoff_min_ms;

    while (attempt-- > 0 && delay_ms < max_ms) {
        delay_ms *= 2;
    }
    delay_ms = delay_ms < max_ms ? delay_ms : max_ms;
    delay_ms = delay_ms / 2 + kube_random(delay_ms / 2 + 1);
    /* A server may ask for patience, but not for ever; and all who were told the same number must
     * not come back in the same moment. */
    retry_after_ms = retry_after_ms < max_ms * 10 ? retry_after_ms : max_ms * 10;
    if (delay_ms < retry_after_ms) {
        delay_ms = retry_after_ms + kube_random(retry_after_ms / 10 + 1);
    }
    return delay_ms;
}

void
kube_escape(struct str *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", *text)) {
            str_add_char(out, *text);
        } else {
            str_addf(out, "%%%02X", (unsigned char)*text);
        }
    }
}
