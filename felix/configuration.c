/* Settings overlaid by objects. main.c loads, felix.c updates when a FelixConfiguration changes. */
#include "felix/configuration.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/base/vec.h"
#include "lib/model/felix_configuration.h"
#include "lib/model/node.h"
#include "lib/selector/selector.h"

#define FILE_NAME "felix-configuration"
#define NODE_SELECTOR "nodeSelector"
#define FILE_MAX (256 * 1024)

typedef VEC(char *) line_vec;

struct configuration {
    struct felix_settings given;   /* flags, environment, file, built-in */
    struct felix_settings current; /* what is in force */
    struct str wanted;             /* the file's text as the objects want it */
    char *saved;                   /* as it is on disk; NULL: there is none */
    line_vec told;                 /* lines of the last update: not told again */
};

/* One overlay under way. */
struct overlay {
    const struct configuration *configuration;
    struct felix_settings *next;
    struct str *wanted;
    line_vec lines;
    size_t n_bad;
};

static void
lines_free(line_vec *lines)
{
    VEC_FOREACH (lines, line) {
        free(*line);
    }
    VEC_DONE(lines);
}

/* ---- the file of the last run
 * ----------------------------------------------------------------------------------- */

static char *
file_path(const struct configuration *configuration)
{
    struct str path = STR_INIT;

    str_addf(&path, "%s/" FILE_NAME, configuration->given.state_dir);
    return str_steal(&path);
}

static void
recall_line(struct configuration *configuration, char *line, const char *path,
            void (*report)(const char *text))
{
    char text[ERR_TEXT_MAX + 256];
    char *equals = strchr(line, '=');
    struct err err = ERR_INIT;
    size_t row = 0;

    if (equals == NULL) {
        return;
    }
    *equals = '\0';
    if (!settings_find(&felix_settings_spec, line, &row) || configuration->given.given[row] ||
        !settings_is_from_api(&felix_settings_spec, &felix_settings_spec.rows[row])) {
        return; /* of another version, or overruled since */
    }
    if (!settings_set(&felix_settings_spec, &configuration->current, line, equals + 1, &err)) {
        snprintf(text, sizeof text, "%s: %s; it is ignored", path, err.text);
        report(text);
    }
}

static void
recall_lines(struct configuration *configuration, const char *text, const char *path,
             void (*report)(const char *text))
{
    AUTO_FREE char *copy = xstrdup(text);
    char *save = NULL;

    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        recall_line(configuration, line, path, report);
    }
}

/* What the objects said when felix ran last. */
static void
recall(struct configuration *configuration, void (*report)(const char *text))
{
    AUTO_FREE char *path = file_path(configuration);
    AUTO(str) struct str content = STR_INIT;
    struct err err = ERR_INIT;

    if (!file_read(path, FILE_MAX, &content, &err)) {
        if (err.code != ENOENT) {
            report(err.text);
        }
        return;
    }
    configuration->saved = xstrdup(str_text(&content));
    recall_lines(configuration, str_text(&content), path, report);
}

static void
be_silent(const char *text)
{
    (void)text; /* it was told when the object came */
}

void
configuration_start_anew(struct configuration *configuration)
{
    settings_done(&felix_settings_spec, &configuration->current);
    configuration->current = (struct felix_settings){0};
    settings_copy(&felix_settings_spec, &configuration->current, &configuration->given);
    recall_lines(configuration, str_text(&configuration->wanted), "", be_silent);
}

bool
configuration_save(struct configuration *configuration, struct err *err)
{
    AUTO_FREE char *path = file_path(configuration);
    const char *wanted = str_text(&configuration->wanted);

    if (strcmp(configuration->saved ? configuration->saved : "", wanted) == 0) {
        return true;
    }
    if (!file_write_atomic(path, wanted, strlen(wanted), 0644, err)) {
        return false;
    }
    free(configuration->saved);
    configuration->saved = xstrdup(wanted);
    return true;
}

/* ---- overlay
 * -------------------------------------------------------------------------------------------- */

static void
tell(struct overlay *overlay, const char *text)
{
    VEC_PUSH(&overlay->lines, xstrdup(text));
}

static void
tell_bad(struct overlay *overlay, const struct felix_configuration *object, const char *field,
         const char *reason)
{
    char text[ERR_TEXT_MAX + 512];

    snprintf(text, sizeof text, "FelixConfiguration %s: spec.%.64s: %s; it is ignored",
             object->name, field, reason);
    tell(overlay, text);
    overlay->n_bad++;
}

/* Calico has many settings for dataplanes that Canal has not; that they are off needs no word. */
static bool
is_off(const struct label *value)
{
    static const char *const off[] = {"false", "Disabled", "None", "none", "", "{}", "0s"};

    for (size_t i = 0; i < ARRAY_LEN(off); i++) {
        if (strcasecmp(value->value, off[i]) == 0) {
            return true;
        }
    }
    return strncmp(value->key, "bpf", 3) == 0 && strcmp(value->key, "bpfEnabled") != 0;
}

/* A line break would end the line in the file and begin another. */
static bool
has_control_character(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            return true;
        }
    }
    return false;
}

/* Has a name of its own: neither "default" nor "node.<name>". */
static bool
is_for_some(const char *name)
{
    return strcmp(name, "default") != 0 && strncmp(name, "node.", strlen("node.")) != 0;
}

static void
overlay_value(struct overlay *overlay, const struct felix_configuration *object,
              const struct label *value)
{
    const struct felix_settings *given = &overlay->configuration->given;
    struct err err = ERR_INIT;
    size_t i = 0;

    if (strcmp(value->key, NODE_SELECTOR) == 0) {
        if (!is_for_some(object->name)) {
            tell_bad(overlay, object, NODE_SELECTOR, "the name says for which nodes it is");
        }
        return;
    }
    if (!settings_find(&felix_settings_spec, value->key, &i)) {
        if (!is_off(value)) {
            tell_bad(overlay, object, value->key, "Canal has no such setting");
        }
        return;
    }
    const struct setting *row = &felix_settings_spec.rows[i];
    if (!settings_is_from_api(&felix_settings_spec, row)) {
        tell_bad(overlay, object, value->key, "cannot be set from the API");
    } else if (has_control_character(value->value)) {
        tell_bad(overlay, object, value->key, "has control characters");
    } else if (!given->given[i]) {
        if (!settings_set(&felix_settings_spec, overlay->next, row->name, value->value, &err)) {
            tell_bad(overlay, object, value->key, err.text);
            return;
        }
        str_addf(overlay->wanted, "%s=%s\n", row->name, value->value);
    }
}

static void
overlay_object(struct overlay *overlay, const struct store *store, const char *key)
{
    const struct felix_configuration *object = store_get(store, KIND_FELIXCONFIGURATION, key);

    for (size_t i = 0; object != NULL && i < object->values.n; i++) {
        overlay_value(overlay, object, &object->values.items[i]);
    }
}

/* ---- objects for nodes of a kind
 * ----------------------------------------------------------------------------------- */

typedef VEC(const char *) key_vec;

static int
key_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool
selects(struct overlay *overlay, const struct felix_configuration *object,
        const struct labels *labels)
{
    const char *text = labels_get(&object->values, NODE_SELECTOR);
    struct selector *selector = NULL;
    struct err err = ERR_INIT;

    if (!text) {
        tell_bad(overlay, object, NODE_SELECTOR,
                 "is missing, so it is for no node (\"default\" and \"node.<name>\" need none)");
        return false;
    }
    if (!selector_parse(text, &selector, &err)) {
        tell_bad(overlay, object, NODE_SELECTOR, err.text);
        return false;
    }
    bool is_selected = selector_matches(selector, labels_lookup, labels);
    selector_free(selector);
    return is_selected;
}

/* By name, so that with two that say something of one setting it is the same one on every node. */
static void
overlay_selected(struct overlay *overlay, const struct store *store, const char *node_name)
{
    static const struct labels none;
    const struct node *node = store_get(store, KIND_NODE, node_name);
    key_vec keys = VEC_INIT;

    for (size_t i = 0; i < store_count(store, KIND_FELIXCONFIGURATION); i++) {
        const char *key = store_key_at(store, KIND_FELIXCONFIGURATION, i);
        if (is_for_some(key)) {
            VEC_PUSH(&keys, key);
        }
    }
    if (keys.n > 0) {
        qsort(keys.items, keys.n, sizeof *keys.items, key_order);
    }
    VEC_FOREACH (&keys, key) {
        const struct felix_configuration *object = store_get(store, KIND_FELIXCONFIGURATION, *key);
        if (selects(overlay, object, node ? &node->labels : &none)) {
            overlay_object(overlay, store, *key);
        }
    }
    VEC_DONE(&keys);
}

/* ---- what is new
 * ------------------------------------------------------------------------------------------- */

static void
take_up(struct configuration *configuration, struct overlay *overlay,
        struct configuration_news *news)
{
    for (size_t i = 0; i < felix_settings_spec.n_rows; i++) {
        const struct setting *row = &felix_settings_spec.rows[i];
        char text[160];
        if (settings_row_equal(row, &configuration->current, overlay->next)) {
            continue;
        }
        news->effects |= row->effect;
        if (!(row->effect & FELIX_STARTS_ANEW)) {
            settings_copy_row(row, &configuration->current, overlay->next);
            continue;
        }
        snprintf(text, sizeof text, "FelixConfiguration: for setting %s felix starts anew",
                 row->name);
        tell(overlay, text);
    }
}

static bool
was_told(const struct configuration *configuration, const char *line)
{
    VEC_FOREACH (&configuration->told, told) {
        if (strcmp(*told, line) == 0) {
            return true;
        }
    }
    return false;
}

void
configuration_update(struct configuration *configuration, const struct store *store,
                     const char *node_name, void (*report)(void *owner, const char *text),
                     void *owner, struct configuration_news *ret_news)
{
    struct felix_settings next = {0};
    struct overlay overlay = {
        .configuration = configuration, .next = &next, .wanted = &configuration->wanted};
    AUTO(str) struct str key = STR_INIT;

    *ret_news = (struct configuration_news){0};
    settings_copy(&felix_settings_spec, &next, &configuration->given);
    str_clear(&configuration->wanted);
    str_addf(&key, "node.%s", node_name);
    overlay_object(&overlay, store, "default");
    overlay_selected(&overlay, store, node_name);
    overlay_object(&overlay, store, str_text(&key));
    take_up(configuration, &overlay, ret_news);
    ret_news->n_bad = overlay.n_bad;
    VEC_FOREACH (&overlay.lines, line) {
        if (!was_told(configuration, *line)) {
            report(owner, *line);
        }
    }
    lines_free(&configuration->told);
    configuration->told = overlay.lines;
    settings_done(&felix_settings_spec, &next);
}

/* ---- life
 * ------------------------------------------------------------------------------------------- */

enum settings_outcome
configuration_load(int argc, char *const argv[], void (*report)(const char *text),
                   struct configuration **ret_configuration)
{
    struct configuration *configuration = NEW(struct configuration);
    enum settings_outcome outcome =
        settings_load(&felix_settings_spec, argc, argv, &configuration->given, report);

    if (outcome != SETTINGS_RUN) {
        settings_done(&felix_settings_spec, &configuration->given);
        free(configuration);
        return outcome;
    }
    settings_copy(&felix_settings_spec, &configuration->current, &configuration->given);
    recall(configuration, report);
    *ret_configuration = configuration;
    return SETTINGS_RUN;
}

void
configuration_free(struct configuration *configuration)
{
    if (configuration == NULL) {
        return;
    }
    settings_done(&felix_settings_spec, &configuration->given);
    settings_done(&felix_settings_spec, &configuration->current);
    str_done(&configuration->wanted);
    free(configuration->saved);
    lines_free(&configuration->told);
    free(configuration);
}

const struct felix_settings *
configuration_settings(const struct configuration *configuration)
{
    return &configuration->current;
}
