/* What the commands share: how they were called, asking felix, and what they print. The answers are
 * described in docs/canalctl.md. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/json/json.h"
#include "lib/proto/proto.h"

/* Exit codes. explain's verdict is one, the others end with DONE when felix answered. */
enum ctl_exit {
    CTL_DONE = 0,      /* explain: allowed */
    CTL_DENIED = 1,    /* explain: denied here; status: not ready */
    CTL_USAGE = 2,     /* the command line is not understood */
    CTL_NO_ANSWER = 3, /* felix is not there, or does not know what it was asked for */
    CTL_ELSEWHERE = 4, /* explain: neither end is on this node, nothing was decided */
};

struct ctl {
    const char *socket;
    bool is_json;            /* -o json */
    bool is_follow;          /* -f */
    uint8_t family;          /* -4, -6; 0 */
    const char *source_port; /* NULL */
    char **args;             /* behind the command's name */
    int n_args;
};

struct ctl_command {
    const char *name, *args, *help;
    int min_args, max_args;
    enum ctl_exit (*run)(const struct ctl *ctl);
};

enum ctl_exit endpoints_run(const struct ctl *ctl);
enum ctl_exit explain_run(const struct ctl *ctl);
enum ctl_exit drops_run(const struct ctl *ctl);
enum ctl_exit policies_run(const struct ctl *ctl);
enum ctl_exit status_run(const struct ctl *ctl);

/* ---- ask.c */

/* One request. On failure everything is said on standard error and *ret_exit is how to end. */
bool ctl_ask(const struct ctl *ctl, const struct proto_request *request,
             struct json_object **ret_answer, enum ctl_exit *ret_exit);
/* The same to follow; the caller closes *ret_fd. */
bool ctl_connect(const struct ctl *ctl, int *ret_fd, enum ctl_exit *ret_exit);
/* An answer that is an error is one here, too. */
bool ctl_parse(const char *line, size_t len, struct json_object **ret_answer, struct err *err);
/* Says what went wrong and what to do next. */
enum ctl_exit ctl_fail(const struct ctl *ctl, const struct err *err);

/* ---- print.c: text that came from outside is shown without its control characters. */

/* "" when it is missing or of another type: felix may be older or newer. */
const char *ctl_text(struct json_object *json, const char *key);
int64_t ctl_int(struct json_object *json, const char *key);
bool ctl_bool(struct json_object *json, const char *key);
struct json_object *ctl_get(struct json_object *json, const char *key); /* NULL when missing */
size_t ctl_len(struct json_object *array);

/* Rows of cells, the columns as wide as they need. */
struct columns;
struct columns *columns_new(size_t n);
/* NULL-terminated; as many as there are columns. */
void columns_add(struct columns *columns, ...) __attribute__((sentinel));
void columns_print(const struct columns *columns); /* to standard output */
void columns_free(struct columns *columns);
void ctl_print(const struct str *text); /* to standard output */
void ctl_print_json(struct json_object *json);
