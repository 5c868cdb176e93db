/* BGP status for metrics and health. Used by confd.c. */
#include "confd/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/bird/reply.h"
#include "lib/metrics/health.h"
#include "lib/metrics/metrics.h"

LOG_MODULE("status");

#define CODE_PROTOCOL 1002
#define CODE_DETAIL 1006

static uint32_t
number_before(const char *text, const char *word)
{
    const char *at = strstr(text, word);

    while (at != NULL && at > text && (at[-1] == ' ' || (at[-1] >= '0' && at[-1] <= '9'))) {
        at--;
    }
    return at != NULL ? (uint32_t)strtoul(at, NULL, 10) : 0;
}

static void
detail_take(struct bgp_session *session, const char *text)
{
    static const char state_key[] = "BGP state:";

    text += strspn(text, " ");
    if (strncmp(text, state_key, strlen(state_key)) == 0) {
        text += strlen(state_key);
        text += strspn(text, " ");
        free(session->state);
        session->state = xstrdup(text);
        session->is_established = strcmp(text, "Established") == 0;
    } else if (strncmp(text, "Routes:", strlen("Routes:")) == 0) {
        session->n_imported += number_before(text, " imported");
        session->n_exported += number_before(text, " exported");
    }
}

/* "mesh_b     BGP        ---        up     2026-11-23 22:15:19  Established": BGP or not. */
static bool
is_bgp_line(const char *text)
{
    char type[16] = "";

    return sscanf(text + strcspn(text, " "), " %15s", type) == 1 && strcmp(type, "BGP") == 0;
}

void
bgp_status_parse(const struct bird_reply *reply, struct bgp_status *ret_status)
{
    struct bgp_session *sessions = xcalloc(reply->lines.n + 1, sizeof(*sessions));
    bool is_bgp = false; /* details that follow belong to the last session */
    size_t n = 0;

    for (size_t i = 0; i < reply->lines.n; i++) {
        const struct bird_line *line = &reply->lines.items[i];
        if (line->code == CODE_PROTOCOL) {
            is_bgp = is_bgp_line(line->text);
            if (is_bgp) {
                sessions[n].name = xstrndup(line->text, strcspn(line->text, " "));
                sessions[n++].state = xstrdup("");
            }
        } else if (line->code == CODE_DETAIL && is_bgp) {
            detail_take(&sessions[n - 1], line->text);
        }
    }
    *ret_status = (struct bgp_status){.sessions = sessions, .n = n};
    for (size_t i = 0; i < n; i++) {
        ret_status->n_established += sessions[i].is_established;
    }
}

void
bgp_status_done(struct bgp_status *status)
{
    for (size_t i = 0; i < status->n; i++) {
        free(status->sessions[i].name);
        free(status->sessions[i].state);
    }
    free(status->sessions);
    *status = (struct bgp_status){0};
}

struct status {
    struct health *health;
    struct metric *up, *count, *imported, *exported, *loaded;
    uint64_t grace_ms;
    uint64_t first_ms; /* 0: never loaded */
    bool is_loaded;
    bool was_ready;
    size_t n_established; /* at the last look, for the log */
    size_t n_sessions;
};

struct status *
status_new(struct metrics *metrics, struct health *health, uint64_t start_grace_ms)
{
    struct status *status = NEW(struct status);

    status->health = health;
    status->grace_ms = start_grace_ms;
    status->up = metrics_define(metrics, METRIC_GAUGE, "canal_bgp_peer_up",
                                "1 when the session is established, by BIRD protocol.");
    status->count = metrics_define(metrics, METRIC_GAUGE, "canal_bgp_peers",
                                   "BGP sessions by state: established, other.");
    status->imported = metrics_define(metrics, METRIC_GAUGE, "canal_bgp_peer_routes_imported",
                                      "Routes taken from the peer.");
    status->exported = metrics_define(metrics, METRIC_GAUGE, "canal_bgp_peer_routes_exported",
                                      "Routes told to the peer.");
    status->loaded = metrics_define(metrics, METRIC_GAUGE, "canal_bird_config_loaded",
                                    "1 when BIRD runs what the cluster wants.");
    health_report(health, "bird", false, true, "not connected yet");
    return status;
}

void
status_free(struct status *status)
{
    free(status);
}

void
status_loaded(struct status *status, bool is_loaded, const char *reason)
{
    status->is_loaded = is_loaded;
    metric_set(status->loaded, is_loaded);
    if (!is_loaded) {
        health_report(status->health, "bird", false, true, reason);
    }
}

static void
metrics_update(struct status *status, const struct bgp_status *bgp)
{
    metric_clear(status->up);
    metric_clear(status->imported);
    metric_clear(status->exported);
    for (size_t i = 0; i < bgp->n; i++) {
        const struct bgp_session *session = &bgp->sessions[i];
        metric_set_for(status->up, session->is_established, "peer", session->name, NULL);
        metric_set_for(status->imported, session->n_imported, "peer", session->name, NULL);
        metric_set_for(status->exported, session->n_exported, "peer", session->name, NULL);
    }
    metric_set_for(status->count, (double)bgp->n_established, "state", "established", NULL);
    metric_set_for(status->count, (double)(bgp->n - bgp->n_established), "state", "other", NULL);
}

bool
status_take(struct status *status, const struct bird_reply *reply, uint64_t now_ms)
{
    struct bgp_status bgp;
    char reason[96];

    if (bird_reply_class(reply) != BIRD_DONE) {
        return false;
    }
    bgp_status_parse(reply, &bgp);
    metrics_update(status, &bgp);
    if (bgp.n_established != status->n_established || bgp.n != status->n_sessions) {
        log_info("%zu of %zu BGP sessions are established", bgp.n_established, bgp.n);
    }
    status->n_established = bgp.n_established;
    status->n_sessions = bgp.n;
    if (status->is_loaded) {
        status->first_ms = status->first_ms == 0 ? now_ms : status->first_ms;
        /* All at first, so that a rolling update waits for the routes; later one is enough, so that
         * a peer that died does not take every node with it. */
        bool is_start = !status->was_ready && now_ms - status->first_ms < status->grace_ms;
        bool is_ready =
            bgp.n == 0 || (is_start ? bgp.n_established == bgp.n : bgp.n_established > 0);
        status->was_ready = status->was_ready || is_ready;
        snprintf(reason, sizeof reason, "%zu of %zu sessions established", bgp.n_established,
                 bgp.n);
        health_report(status->health, "bird", is_ready, true, reason);
    }
    bgp_status_done(&bgp);
    return status->n_established == status->n_sessions;
}
