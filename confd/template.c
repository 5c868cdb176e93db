/* Parses templates into a tree of nodes once, renders them at every change. Used by confd.c. */
#include "confd/template.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"

enum node_type {
    NODE_TEXT,
    NODE_VALUE,
    NODE_SECTION,
    NODE_INVERTED,
    NODE_PARTIAL,
};

/* Nodes of one file in order; a section is followed by its body up to node 'end'. */
struct node {
    enum node_type type;
    char *text; /* literal text, or the name */
    size_t len;
    unsigned line;
    size_t end;
    const struct file *partial;
};

struct file {
    char *name;
    VEC(struct node) nodes;
};

struct templates {
    struct table *files;
    const struct file *root;
};

struct parser {
    struct templates *templates;
    template_read_fn *read;
    void *owner;
    struct err *err;
};

struct cursor {
    struct parser *parser;
    struct file *file;
    const char *text;
    const char *at;
    unsigned line;
    VEC(size_t) open; /* sections that wait for their end */
    int depth;
};

static bool file_parse(struct parser *parser, const char *name, int depth,
                       const struct file **ret_file);

static struct node *
node_add(struct file *file, enum node_type type, const char *text, size_t len, unsigned line)
{
    VEC_PUSH(&file->nodes,
             (struct node){.type = type, .text = xstrndup(text, len), .len = len, .line = line});
    return &file->nodes.items[file->nodes.n - 1];
}

static unsigned
count_lines(const char *text, const char *end)
{
    unsigned n = 0;

    for (; text < end; text++) {
        n += *text == '\n';
    }
    return n;
}

static bool
name_is_good(const char *name, size_t len, char kind)
{
    if (len == 1 && name[0] == '.' && kind == '\0') {
        return true;
    }
    for (size_t i = 0; i < len; i++) {
        bool is_word = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
                       name[i] == '_';
        if (!is_word && !(kind == '>' && (name[i] == '.' || name[i] == '-') && i > 0)) {
            return false;
        }
    }
    return len > 0 && len < 64;
}

static bool
fail(const struct cursor *cursor, const char *what, const char *name, size_t len)
{
    return err_set(cursor->parser->err, "template %s:%u: %s '%.*s'", cursor->file->name,
                   cursor->line, what, (int)(len < 60 ? len : 60), name);
}

static bool
section_close(struct cursor *cursor, const char *name, size_t len)
{
    if (cursor->open.n == 0) {
        return fail(cursor, "nothing is open that this closes:", name, len);
    }
    struct node *section = &cursor->file->nodes.items[cursor->open.items[--cursor->open.n]];
    if (section->len != len || memcmp(section->text, name, len) != 0) {
        return fail(cursor, "another section is open than this closes:", name, len);
    }
    section->end = cursor->file->nodes.n;
    return true;
}

static bool
tag_take(struct cursor *cursor, char kind, const char *name, size_t len)
{
    if (kind == '!') {
        return true;
    }
    if (!name_is_good(name, len, kind)) {
        return fail(cursor, "not a name:", name, len);
    }
    if (kind == '/') {
        return section_close(cursor, name, len);
    }
    if (kind == '\0') {
        node_add(cursor->file, NODE_VALUE, name, len, cursor->line);
        return true;
    }
    if (kind == '>') {
        AUTO_FREE char *file_name = xstrndup(name, len);
        const struct file *partial = NULL;
        if (!file_parse(cursor->parser, file_name, cursor->depth + 1, &partial)) {
            return err_wrap(cursor->parser->err, "template %s:%u", cursor->file->name,
                            cursor->line);
        }
        node_add(cursor->file, NODE_PARTIAL, name, len, cursor->line)->partial = partial;
        return true;
    }
    if (cursor->open.n >= TEMPLATE_DEPTH_MAX) {
        return fail(cursor, "too many sections are open at", name, len);
    }
    node_add(cursor->file, kind == '#' ? NODE_SECTION : NODE_INVERTED, name, len, cursor->line);
    VEC_PUSH(&cursor->open, cursor->file->nodes.n - 1);
    return true;
}

/* True when only blanks stand around a tag on its line; then the line goes with it. */
static bool
is_alone(const struct cursor *cursor, const char *tag, const char *after, const char **ret_start,
         const char **ret_end)
{
    const char *start = tag, *end = after;

    while (start > cursor->text && (start[-1] == ' ' || start[-1] == '\t')) {
        start--;
    }
    if (start > cursor->text && start[-1] != '\n') {
        return false;
    }
    end += strspn(end, " \t");
    if (*end != '\n' && *end != '\0') {
        return false;
    }
    *ret_start = start;
    *ret_end = *end == '\n' ? end + 1 : end;
    return true;
}

/* Text up to the next tag, then the tag. */
static bool
piece_parse(struct cursor *cursor)
{
    const char *tag = strstr(cursor->at, "{{");
    const char *end = tag != NULL ? strstr(tag + 2, "}}") : NULL;
    const char *text_end = tag, *next;

    if (tag == NULL) {
        node_add(cursor->file, NODE_TEXT, cursor->at, strlen(cursor->at), cursor->line);
        cursor->at += strlen(cursor->at);
        return true;
    }
    if (end == NULL) {
        cursor->line += count_lines(cursor->at, tag);
        return fail(cursor, "'}}' is missing after", tag, strcspn(tag, "\n"));
    }
    char kind = strchr("#^/!>", tag[2]) != NULL ? tag[2] : '\0';
    const char *name = tag + 2 + (kind != '\0');
    name += strspn(name, " \t\n");
    size_t len = end > name ? (size_t)(end - name) : 0;
    while (len > 0 && strchr(" \t\n", name[len - 1]) != NULL) {
        len--;
    }
    next = end + 2;
    if (kind != '\0') {
        (void)is_alone(cursor, tag, next, &text_end, &next);
    }
    if (text_end > cursor->at) {
        node_add(cursor->file, NODE_TEXT, cursor->at, (size_t)(text_end - cursor->at),
                 cursor->line);
    }
    cursor->line += count_lines(cursor->at, tag);
    if (!tag_take(cursor, kind, name, len)) {
        return false;
    }
    cursor->line += count_lines(tag, next);
    cursor->at = next;
    return true;
}

static void
file_free(void *value)
{
    struct file *file = value;

    VEC_FOREACH (&file->nodes, node) {
        free(node->text);
    }
    VEC_DONE(&file->nodes);
    free(file->name);
    free(file);
}

static bool
file_parse(struct parser *parser, const char *name, int depth, const struct file **ret_file)
{
    AUTO(str) struct str text = STR_INIT;
    struct file *file = table_get(parser->templates->files, name);
    bool is_good = true;

    if (file != NULL) {
        *ret_file = file;
        return true;
    }
    /* A file is in the table only once it was parsed, so one that includes itself ends here. */
    if (depth > TEMPLATE_FILES_MAX) {
        return err_set(parser->err, "template %s: included too deeply", name);
    }
    if (!parser->read(parser->owner, name, &text, parser->err)) {
        return false;
    }
    file = NEW(struct file);
    file->name = xstrdup(name);
    struct cursor cursor = {.parser = parser,
                            .file = file,
                            .text = str_text(&text),
                            .at = str_text(&text),
                            .line = 1,
                            .depth = depth};
    while (is_good && *cursor.at != '\0') {
        is_good = piece_parse(&cursor);
    }
    if (is_good && cursor.open.n > 0) {
        const struct node *open = &file->nodes.items[cursor.open.items[cursor.open.n - 1]];
        cursor.line = open->line;
        is_good = fail(&cursor, "section is not closed:", open->text, open->len);
    }
    VEC_DONE(&cursor.open);
    struct file *same = table_put(parser->templates->files, name, file);
    if (same != NULL) {
        file_free(same); /* a file that includes itself: this parse ends in an error */
    }
    *ret_file = file;
    return is_good;
}

bool
templates_new(const char *name, template_read_fn *read, void *owner,
              struct templates **ret_templates, struct err *err)
{
    struct templates *templates = NEW(struct templates);
    struct parser parser = {.templates = templates, .read = read, .owner = owner, .err = err};

    templates->files = table_new();
    if (!file_parse(&parser, name, 0, &templates->root)) {
        templates_free(templates);
        return false;
    }
    *ret_templates = templates;
    return true;
}

void
templates_free(struct templates *templates)
{
    if (templates == NULL) {
        return;
    }
    table_free(templates->files, file_free);
    free(templates);
}

/* The items that sections opened, innermost first. */
struct scope {
    struct json_object *item;
    const struct scope *outer;
};

struct render {
    const struct file *file;
    struct str *out;
    struct err *err;
};

static bool render_nodes(const struct render *render, size_t from, size_t to,
                         const struct scope *scope);

static bool
lookup(const struct scope *scope, const char *name, struct json_object **ret_value)
{
    if (strcmp(name, ".") == 0) {
        *ret_value = scope->item;
        return true;
    }
    for (; scope != NULL; scope = scope->outer) {
        if (json_object_is_type(scope->item, json_type_object) &&
            json_object_object_get_ex(scope->item, name, ret_value)) {
            return true;
        }
    }
    return false;
}

static bool
fail_at(const struct render *render, const struct node *node, const char *what)
{
    return err_set(render->err, "template %s:%u: '%s' %s", render->file->name, node->line,
                   node->text, what);
}

static bool
render_value(const struct render *render, const struct node *node, struct json_object *value)
{
    if (json_object_is_type(value, json_type_int)) {
        /* json-c would keep a printed copy in each number. */
        str_addf(render->out, "%lld", (long long)json_object_get_int64(value));
        return true;
    }
    if (!json_object_is_type(value, json_type_string)) {
        return fail_at(render, node, "is not a text or number in the context");
    }
    const char *text = json_object_get_string(value);
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '"') {
            return fail_at(render, node, "holds a character that BIRD's language cannot carry");
        }
    }
    str_add(render->out, text);
    return true;
}

static bool
is_empty(struct json_object *value)
{
    return value == NULL ||
           (json_object_is_type(value, json_type_boolean) && !json_object_get_boolean(value)) ||
           (json_object_is_type(value, json_type_array) && json_object_array_length(value) == 0);
}

static bool
render_section(const struct render *render, size_t at, const struct scope *scope)
{
    const struct node *node = &render->file->nodes.items[at];
    struct json_object *value = NULL;

    if (!lookup(scope, node->text, &value)) {
        return fail_at(render, node, "is not in the context");
    }
    if (node->type == NODE_INVERTED) {
        return !is_empty(value) || render_nodes(render, at + 1, node->end, scope);
    }
    if (is_empty(value)) {
        return true;
    }
    if (!json_object_is_type(value, json_type_array)) {
        struct scope inner = {.item = value, .outer = scope};
        return render_nodes(render, at + 1, node->end, &inner);
    }
    for (size_t i = 0; i < json_object_array_length(value); i++) {
        struct scope inner = {.item = json_object_array_get_idx(value, i), .outer = scope};
        if (!render_nodes(render, at + 1, node->end, &inner)) {
            return false;
        }
    }
    return true;
}

static bool
render_nodes(const struct render *render, size_t from, size_t to, const struct scope *scope)
{
    for (size_t i = from; i < to; i++) {
        const struct node *node = &render->file->nodes.items[i];
        struct json_object *value = NULL;

        switch (node->type) {
        case NODE_TEXT:
            str_add_bytes(render->out, node->text, node->len);
            break;
        case NODE_VALUE:
            if (!lookup(scope, node->text, &value)) {
                return fail_at(render, node, "is not in the context");
            }
            if (!render_value(render, node, value)) {
                return false;
            }
            break;
        case NODE_SECTION:
        case NODE_INVERTED:
            if (!render_section(render, i, scope)) {
                return false;
            }
            i = node->end - 1;
            break;
        case NODE_PARTIAL: {
            struct render inner = {.file = node->partial, .out = render->out, .err = render->err};
            if (!render_nodes(&inner, 0, node->partial->nodes.n, scope)) {
                return false;
            }
            break;
        }
        }
    }
    return true;
}

bool
templates_render(const struct templates *templates, struct json_object *context, struct str *out,
                 struct err *err)
{
    struct scope scope = {.item = context};
    struct render render = {.file = templates->root, .out = out, .err = err};

    return render_nodes(&render, 0, templates->root->nodes.n, &scope);
}
