/* The straight line: feed → store → context → text → loader → status, and the one kick between
 * model and calculation. Called by main.c. */
#include "confd/confd.h"

#include <dirent.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "confd/context/context.h"
#include "confd/load.h"
#include "confd/objects.h"
#include "confd/status.h"
#include "confd/template.h"
#include "confd/tunnel.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/footprint.h"
#include "lib/base/log.h"
#include "lib/base/table.h"
#include "lib/bird/client.h"
#include "lib/feed/feed.h"
#include "lib/kube/kube.h"
#include "lib/loop/kick.h"
#include "lib/metrics/http_server.h"
#include "lib/model/store.h"

LOG_MODULE("confd");

#define TICK_MS 1000
#define SETTLED_TICKS 3 /* since the first sync: the first configuration was checked and loaded */
#define STATUS_TICKS 5  /* once all sessions are up; every tick before */
#define STATUS_DEADLINE_MS 10000
#define TEMPLATE_MAX ((size_t)1024 * 1024)

struct confd {
    const struct confd_settings *settings;
    uv_loop_t loop;
    struct store *store;
    struct kube *kube;
    struct feed *feed;
    struct templates *templates;
    struct bird_client *bird;
    struct tunnel *tunnel;
    struct loader *loader;
    struct status *status;
    struct metrics *metrics;
    struct metric *renders, *render_time, *issues_metric, *reloads;
    struct health *health;
    struct http_server *server;
    struct kick flush;
    uv_timer_t tick;
    uv_signal_t terminate, interrupt, hangup;
    struct table *issues;     /* reported now; the values are their own texts */
    struct table *old_issues; /* at the last render, to log only what is new */
    bool is_in_sync;
    bool must_force; /* local additions may have changed */
    bool is_status_asked;
    bool is_all_up;
    unsigned n_ticks;
    unsigned n_synced_ticks; /* up to SETTLED_TICKS, when memory of the start is given back */
    int exit_code;
};

/* ---- templates and local additions ------------------------------------------------------------
 */

/* The first directory of the list that has the file. */
static bool
template_read(void *owner, const char *name, struct str *ret_text, struct err *err)
{
    const struct confd *confd = owner;
    AUTO_FREE char *dirs = xstrdup(confd->settings->templates);
    char *rest = dirs;

    for (char *dir = strsep(&rest, ":"); dir != NULL; dir = strsep(&rest, ":")) {
        AUTO(str) struct str path = STR_INIT;
        str_addf(&path, "%s/%s", dir, name);
        if (file_read(str_text(&path), TEMPLATE_MAX, ret_text, err)) {
            return true;
        }
        if (err->code != ENOENT) {
            return false;
        }
    }
    return err_set(err, "template %s is in none of %s", name, confd->settings->templates);
}

static bool
templates_load(struct confd *confd, struct err *err)
{
    struct templates *templates = NULL;

    if (!templates_new("bird.conf", template_read, confd, &templates, err)) {
        return false;
    }
    templates_free(confd->templates);
    confd->templates = templates;
    return true;
}

static int
is_local_file(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

/* Sorted paths, NULL-terminated; the caller frees items and array. */
static char **
local_files(const char *dir)
{
    struct dirent **entries = NULL;
    int n = scandir(dir, &entries, is_local_file, alphasort);
    size_t n_paths = n > 0 ? (size_t)n : 0;
    char **paths = xcalloc(n_paths + 1, sizeof(char *));

    for (size_t i = 0; i < n_paths; i++) {
        AUTO(str) struct str path = STR_INIT;
        str_addf(&path, "%s/%s", dir, entries[i]->d_name);
        paths[i] = str_steal(&path);
        free(entries[i]);
    }
    free(entries);
    return paths;
}

static void
paths_free(char **paths)
{
    for (size_t i = 0; paths[i] != NULL; i++) {
        free(paths[i]);
    }
    free(paths);
}

/* ---- calculate and render ---------------------------------------------------------------------
 */

static void
on_issue(void *owner, const char *text)
{
    struct confd *confd = owner;

    if (table_get(confd->issues, text) == NULL) {
        table_put(confd->issues, text, xstrdup(text));
    }
}

/* Each issue is logged when it appears, not at every render. */
static void
issues_log(struct confd *confd)
{
    TABLE_FOREACH (confd->issues, entry) {
        if (table_get(confd->old_issues, table_key(entry)) == NULL) {
            log_error("%s", table_key(entry));
        }
    }
    TABLE_FOREACH (confd->old_issues, entry) {
        if (table_get(confd->issues, table_key(entry)) == NULL) {
            log_info("settled: %s", table_key(entry));
        }
    }
    metric_set(confd->issues_metric, (double)table_count(confd->issues));
    table_free(confd->old_issues, free);
    confd->old_issues = confd->issues;
    confd->issues = table_new();
}

static bool
context_make(struct confd *confd, struct json_object **ret_context, struct err *err)
{
    char **includes = local_files(confd->settings->local_dir);
    struct kind_issues issues = {.report = on_issue, .owner = confd};
    struct context_spec spec = {.node_name = confd->settings->node_name,
                                .default_as = confd->settings->default_as,
                                .graceful_restart_s = confd->settings->graceful_restart_wait_s,
                                .includes = (const char *const *)includes};
    bool is_good = context_build(confd->store, &spec, &issues, ret_context, err);

    issues_log(confd);
    paths_free(includes);
    return is_good;
}

static bool
text_make(struct confd *confd, struct str *ret_text, struct err *err)
{
    struct json_object *context = NULL;
    uint64_t start_us = clock_monotonic_us();

    if (!context_make(confd, &context, err)) {
        return false;
    }
    bool is_good = templates_render(confd->templates, context, ret_text, err);
    json_object_put(context);
    metric_add(confd->renders, 1);
    metric_observe(confd->render_time, (double)(clock_monotonic_us() - start_us) / 1e6);
    return is_good;
}

static void
confd_flush(void *owner)
{
    struct confd *confd = owner;
    AUTO(str) struct str text = STR_INIT;
    struct err err = ERR_INIT;

    if (!confd->is_in_sync) {
        return;
    }
    if (!text_make(confd, &text, &err)) {
        log_error_every(30, "%s; BIRD keeps what it has", err.text);
        health_report(confd->health, "config", false, true, err.text);
        return;
    }
    health_report(confd->health, "config", true, true, "rendered");
    loader_want(confd->loader, str_text(&text), confd->must_force);
    confd->must_force = false;
}

/* ---- events -----------------------------------------------------------------------------------
 */

static void
on_change(void *owner, const struct change *change)
{
    struct confd *confd = owner;

    (void)change;
    if (confd->is_in_sync) {
        kick(&confd->flush);
    }
}

static void
on_in_sync(void *owner)
{
    struct confd *confd = owner;

    confd->is_in_sync = true;
    kick(&confd->flush);
}

static void
on_outcome(void *owner, bool is_loaded, const char *reason)
{
    struct confd *confd = owner;

    status_loaded(confd->status, is_loaded, reason);
    metric_set(confd->reloads, (double)loader_n_reloads(confd->loader));
    confd->is_all_up = false;
}

static void
on_bird_state(void *owner, bool is_connected)
{
    struct confd *confd = owner;

    loader_on_state(confd->loader, is_connected);
}

static void
on_protocols(void *owner, const struct bird_reply *reply)
{
    struct confd *confd = owner;

    confd->is_status_asked = false;
    confd->is_all_up = status_take(confd->status, reply, uv_now(&confd->loop));
}

static void
on_tick(uv_timer_t *timer)
{
    struct confd *confd = timer->data;

    if (confd->is_in_sync && confd->n_synced_ticks < SETTLED_TICKS &&
        ++confd->n_synced_ticks == SETTLED_TICKS) {
        footprint_shrink();
    }
    if (confd->feed && !confd->is_in_sync) {
        health_report(confd->health, "config", false, true, feed_waits_for(confd->feed));
    }
    if (!bird_client_is_connected(confd->bird)) {
        loader_retry(confd->loader);
        return;
    }
    tunnel_tick(confd->tunnel);
    loader_retry(confd->loader);
    if (!confd->is_status_asked && (!confd->is_all_up || confd->n_ticks++ % STATUS_TICKS == 0)) {
        confd->is_status_asked = true;
        bird_client_send(confd->bird, "show protocols all", STATUS_DEADLINE_MS, on_protocols,
                         confd);
    }
}

static void
on_object_issue(void *owner, const char *text)
{
    (void)owner;
    log_error("%s", text);
}

static bool
objects_load(struct confd *confd)
{
    struct err err = ERR_INIT;

    if (!objects_read(confd->settings->objects, confd->store, on_object_issue, confd, &err)) {
        log_error("%s", err.text);
        return false;
    }
    return true;
}

static void
on_hangup(uv_signal_t *handle, int number)
{
    struct confd *confd = handle->data;
    struct err err = ERR_INIT;

    (void)number;
    log_info("reading templates and local additions again");
    if (!templates_load(confd, &err)) {
        log_error("%s; the old templates stay in use", err.text);
    }
    if (confd->settings->objects[0] != '\0') {
        (void)objects_load(confd);
    } else {
        confd->must_force = true;
    }
    kick(&confd->flush);
}

static void
confd_stop(struct confd *confd)
{
    /* BIRD goes on with what it has. */
    tunnel_free(confd->tunnel);
    bird_client_free(confd->bird);
    http_server_free(confd->server);
    kick_close(&confd->flush);
    uv_close((uv_handle_t *)&confd->tick, NULL);
    uv_close((uv_handle_t *)&confd->terminate, NULL);
    uv_close((uv_handle_t *)&confd->interrupt, NULL);
    uv_close((uv_handle_t *)&confd->hangup, NULL);
    uv_stop(&confd->loop);
}

static void
on_signal(uv_signal_t *handle, int number)
{
    log_info("signal %d: ending", number);
    confd_stop(handle->data);
}

/* ---- ways to run ------------------------------------------------------------------------------
 */

static int
print_once(struct confd *confd)
{
    struct err err = ERR_INIT;
    struct json_object *context = NULL;
    AUTO(str) struct str text = STR_INIT;

    if (confd->settings->is_dump_context) {
        if (!context_make(confd, &context, &err)) {
            log_error("%s", err.text);
            return 1;
        }
        puts(json_object_to_json_string_ext(context, JSON_C_TO_STRING_PRETTY |
                                                         JSON_C_TO_STRING_SPACED |
                                                         JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(context);
        return 0;
    }
    if (!text_make(confd, &text, &err)) {
        log_error("%s", err.text);
        return 1;
    }
    if (confd->settings->is_dry_run) {
        fputs(str_text(&text), stdout);
        return 0;
    }
    if (!file_write_atomic(confd->settings->bird_config, str_text(&text), text.len, 0644, &err)) {
        log_error("%s", err.text);
        return 1;
    }
    log_info("wrote %s", confd->settings->bird_config);
    return 0;
}

static void
on_in_sync_once(void *owner)
{
    struct confd *confd = owner;

    /* The feed is freed once its callback is left, see confd_close(). */
    confd->exit_code = print_once(confd);
    uv_stop(&confd->loop);
}

static bool
feed_open(struct confd *confd, void (*in_sync)(void *owner), struct err *err)
{
    static const struct feed_spec kinds[] = {{.kind = KIND_NODE},
                                             {.kind = KIND_IPPOOL},
                                             {.kind = KIND_BGPCONFIGURATION},
                                             {.kind = KIND_BGPPEER}};
    const char *kubeconfig = confd->settings->kubeconfig;

    if (!kube_new(&confd->loop, kubeconfig[0] != '\0' ? kubeconfig : NULL, &confd->kube, err)) {
        return false;
    }
    confd->feed = feed_new(confd->kube, confd->store, kinds, ARRAY_LEN(kinds), in_sync, confd);
    feed_set_metrics(confd->feed, confd->metrics);
    feed_start(confd->feed);
    return true;
}

static bool
daemon_open(struct confd *confd, struct err *err)
{
    const struct confd_settings *settings = confd->settings;
    struct loader_spec spec = {.config_path = settings->bird_config,
                               .bird_binary = settings->bird_binary,
                               .on_outcome = on_outcome,
                               .owner = confd};

    confd->bird = bird_client_new(&confd->loop, settings->bird_socket, on_bird_state, confd);
    confd->loader = loader_new(&confd->loop, confd->bird, &spec);
    kick_init(&confd->flush, &confd->loop, settings->window_ms, confd_flush, confd);
    uv_timer_init(&confd->loop, &confd->tick);
    confd->tick.data = confd;
    uv_timer_start(&confd->tick, on_tick, TICK_MS, TICK_MS);
    uv_signal_init(&confd->loop, &confd->terminate);
    uv_signal_init(&confd->loop, &confd->interrupt);
    uv_signal_init(&confd->loop, &confd->hangup);
    confd->terminate.data = confd->interrupt.data = confd->hangup.data = confd;
    uv_signal_start(&confd->terminate, on_signal, SIGTERM);
    uv_signal_start(&confd->interrupt, on_signal, SIGINT);
    uv_signal_start(&confd->hangup, on_hangup, SIGHUP);
    if (!tunnel_new(&confd->loop, confd->bird, &confd->tunnel, err)) {
        return false;
    }
    if (settings->metrics_port == 0) {
        return true;
    }
    return http_server_new(&confd->loop,
                           &(struct http_server_spec){.host = settings->metrics_host,
                                                      .port = (uint16_t)settings->metrics_port,
                                                      .metrics = confd->metrics,
                                                      .health = confd->health},
                           &confd->server, err);
}

static void
confd_open(struct confd *confd, const struct confd_settings *settings)
{
    confd->settings = settings;
    uv_loop_init(&confd->loop);
    confd->metrics = metrics_new();
    confd->health = health_new();
    confd->store = store_new(on_change, confd);
    confd->issues = table_new();
    confd->old_issues = table_new();
    confd->status = status_new(confd->metrics, confd->health, settings->start_grace_ms);
    confd->renders = metrics_define(confd->metrics, METRIC_COUNTER, "canal_confd_renders_total",
                                    "Configurations rendered.");
    confd->render_time =
        metrics_define(confd->metrics, METRIC_HISTOGRAM, "canal_confd_render_seconds",
                       "From the objects to the text of BIRD's configuration.");
    confd->issues_metric =
        metrics_define(confd->metrics, METRIC_GAUGE, "canal_confd_issues",
                       "Objects or fields that are left out; the log names them.");
    confd->reloads = metrics_define(confd->metrics, METRIC_COUNTER, "canal_bird_reloads_total",
                                    "Configurations BIRD has loaded.");
    health_report(confd->health, "config", false, true, "no complete list of objects yet");
}

static void
confd_close(struct confd *confd)
{
    /* Runs until uv_stop(). The API's idle connections keep the loop alive until kube_free(), so
     * the turns in which the feed closes are counted out. */
    uv_run(&confd->loop, UV_RUN_DEFAULT);
    feed_free(confd->feed);
    uv_run(&confd->loop, UV_RUN_NOWAIT);
    uv_run(&confd->loop, UV_RUN_NOWAIT);
    kube_free(confd->kube);
    uv_run(&confd->loop, UV_RUN_DEFAULT);
    loader_free(confd->loader);
    templates_free(confd->templates);
    store_free(confd->store);
    status_free(confd->status);
    table_free(confd->issues, free);
    table_free(confd->old_issues, free);
    health_free(confd->health);
    metrics_free(confd->metrics);
    uv_loop_close(&confd->loop);
}

int
confd_run(const struct confd_settings *settings)
{
    struct confd confd = {0};
    struct err err = ERR_INIT;
    bool has_file = settings->objects[0] != '\0';
    bool is_good;

    confd_open(&confd, settings);
    is_good = templates_load(&confd, &err);
    if (is_good && settings->is_once) {
        is_good = has_file ? objects_load(&confd) : feed_open(&confd, on_in_sync_once, &err);
        if (is_good && has_file) {
            confd.exit_code = print_once(&confd);
        }
    } else if (is_good) {
        is_good = daemon_open(&confd, &err) &&
                  (has_file ? objects_load(&confd) : feed_open(&confd, on_in_sync, &err));
        if (is_good && has_file) {
            on_in_sync(&confd);
        } else if (!is_good) {
            confd_stop(&confd);
        }
    }
    if (!is_good) {
        confd.exit_code = 1;
        if (err.text[0] != '\0') {
            log_error("%s", err.text);
        }
    }
    confd_close(&confd);
    return confd.exit_code;
}
