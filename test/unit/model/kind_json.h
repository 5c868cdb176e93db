/* For the tests of kinds: JSON that reads well in C, and what decoding it reported. In JSON single
 * quotes stand for double ones and ` for single ones. */
#pragma once

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/str.h"
#include "lib/feed/keep.h"
#include "lib/json/json.h"
#include "lib/model/kind.h"
#include "test/unit/cmocka.h"

static struct str issues_text; /* of the last decoding, a line each */

static void
report(void *owner, const char *text)
{
    (void)owner;
    str_addf(&issues_text, "%s\n", text);
}

static const struct kind_issues issues = {.report = report};

/* As the feed does: pruned, then parsed. */
static struct json_object *
tree_of(enum kind kind, const char *text)
{
    AUTO(str) struct str json = STR_INIT;
    AUTO(str) struct str pruned = STR_INIT;
    struct json_object *object = NULL;
    struct err err = ERR_INIT;

    str_add(&json, text);
    for (size_t i = 0; i < json.len; i++) {
        json.text[i] = json.text[i] == '\'' ? '"' : json.text[i] == '`' ? '\'' : json.text[i];
    }
    if (!json_prune(json.text, json.len, feed_keep(kind), &pruned, &err) ||
        !json_parse(pruned.text, pruned.len, &object, &err)) {
        fail_msg("not JSON: %s: %s", json.text, err.text);
    }
    return object;
}

/* NULL with a reason in 'err' when it is refused. */
static void *
decode(enum kind kind, const char *text, struct err *err)
{
    AUTO(json_tree) struct json_object *object = tree_of(kind, text);

    str_clear(&issues_text);
    *err = (struct err)ERR_INIT;
    return kind_ops(kind)->decode(object, &issues, err);
}

UNUSED static void *
accepts(enum kind kind, const char *json)
{
    struct err err;
    void *object = decode(kind, json, &err);

    if (object == NULL) {
        fail_msg("must not be refused: %s: %s", json, err.text);
    }
    return object;
}

static void
refuses(enum kind kind, const char *json, const char *reason)
{
    struct err err;
    void *object = decode(kind, json, &err);

    if (object != NULL) {
        fail_msg("must be refused: %s", json);
    }
    if (strstr(err.text, reason) == NULL) {
        fail_msg("of %s: '%s' does not say '%s'", json, err.text, reason);
    }
}

UNUSED static void
issue_says(const char *text)
{
    if (strstr(str_text(&issues_text), text) == NULL) {
        fail_msg("'%s' does not say '%s'", str_text(&issues_text), text);
    }
}
