/* A strict subset of mustache over a JSON context.
 *
 *     {{name}}                  a text or number; no escaping
 *     {{#name}} ... {{/name}}   for each item of a list; once for an object or true
 *     {{^name}} ... {{/name}}   when the list is empty, or false, null
 *     {{.}}                     the item itself, in a list of texts
 *     {{! note }}               nothing
 *     {{> file}}                that template, in the same context
 *
 * A name is looked up from the innermost item outwards. A name that is nowhere in the context, an
 * object where a text is wanted, and wrong closing tags are errors with file and line; null is an
 * empty list but no text. A line that holds nothing but one tag of the last four kinds or a
 * section's start or end leaves no line behind. A text with control characters or double quotes
 * is refused: it could leave the place it was written to. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

struct json_object;
struct templates;

#define TEMPLATE_DEPTH_MAX 32 /* sections in each other */
#define TEMPLATE_FILES_MAX 8  /* files in each other */

/* Appends the text of a template called 'name', "peers.conf" say. */
typedef bool template_read_fn(void *owner, const char *name, struct str *ret_text, struct err *err);

/* Reads and parses 'name' and what it includes. */
MUST_CHECK bool templates_new(const char *name, template_read_fn *read, void *owner,
                              struct templates **ret_templates, struct err *err);
void templates_free(struct templates *templates); /* NULL is fine */
MUST_CHECK bool templates_render(const struct templates *templates, struct json_object *context,
                                 struct str *out, struct err *err);
