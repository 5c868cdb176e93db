/* Recursive descent into a flat array of nodes; strings live in one block beside it. Used for
 * nodeSelector and peerSelector, IPPool selectors and policies. */
#include "lib/selector/selector.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/vec.h"

#define KEY_LEN_MAX 512

enum op {
    OP_ALL,
    OP_GLOBAL,
    OP_HAS,
    OP_EQ,
    OP_NE,
    OP_CONTAINS,
    OP_STARTS,
    OP_ENDS,
    OP_IN,
    OP_NOT_IN,
    OP_NOT,
    OP_AND,
    OP_OR,
};

/* key, values: what a comparison is about. left, right: operands, ids of earlier nodes. */
struct node {
    enum op op;
    char *key;
    char **values;
    size_t n_values;
    size_t left, right;
};

struct selector {
    VEC(struct node) nodes;
    size_t root;
};

struct parser {
    const char *text;
    const char *at;
    int depth;
    struct selector *selector;
    struct err *err;
};

static bool parse_or(struct parser *parser, size_t *ret_id);

static bool
fail(const struct parser *parser, const char *expected)
{
    return err_set(parser->err, "expected %s at character %zu, at '%.20s'", expected,
                   (size_t)(parser->at - parser->text) + 1, parser->at);
}

static void
skip_blanks(struct parser *parser)
{
    parser->at += strspn(parser->at, " \t");
}

/* Takes a symbol, with blanks in front of it. */
static bool
take(struct parser *parser, const char *symbol)
{
    size_t len = strlen(symbol);

    skip_blanks(parser);
    if (strncmp(parser->at, symbol, len) != 0) {
        return false;
    }
    parser->at += len;
    return true;
}

static size_t
label_len(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-");
}

static size_t
node_add(struct parser *parser, struct node node)
{
    VEC_PUSH(&parser->selector->nodes, node);
    return parser->selector->nodes.n - 1;
}

static bool
parse_string(struct parser *parser, char **ret_text)
{
    const char *end;

    skip_blanks(parser);
    if (*parser->at != '\'' && *parser->at != '"') {
        return fail(parser, "a string in quotes");
    }
    end = strchr(parser->at + 1, *parser->at);
    if (end == NULL) {
        return fail(parser, "a string with its closing quote");
    }
    *ret_text = xstrndup(parser->at + 1, (size_t)(end - parser->at - 1));
    parser->at = end + 1;
    return true;
}

static bool
parse_key(struct parser *parser, char **ret_key)
{
    size_t len;

    skip_blanks(parser);
    len = label_len(parser->at);
    if (len == 0) {
        return fail(parser, "a label name");
    }
    if (len > KEY_LEN_MAX) {
        return fail(parser, "a label name of at most 512 characters");
    }
    *ret_key = xstrndup(parser->at, len);
    parser->at += len;
    return true;
}

static int
compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Adds one string to the node's values; the node owns them, also when the parse fails. */
static bool
parse_member(struct parser *parser, struct node *node)
{
    char *text = NULL;

    if (!parse_string(parser, &text)) {
        return false;
    }
    /* Doubling: room is the next power of two. */
    if ((node->n_values & (node->n_values - 1)) == 0) {
        size_t room = node->n_values > 0 ? node->n_values * 2 : 1;
        node->values = xreallocarray(node->values, room, sizeof(*node->values));
    }
    node->values[node->n_values++] = text;
    return true;
}

/* Sorted and without repetitions: canonical, and quick to search. */
static void
set_normalise(struct node *node)
{
    size_t n_kept = 0;

    if (node->n_values > 1) {
        qsort(node->values, node->n_values, sizeof(*node->values), compare_texts);
    }
    for (size_t i = 0; i < node->n_values; i++) {
        if (n_kept > 0 && strcmp(node->values[n_kept - 1], node->values[i]) == 0) {
            free(node->values[i]);
        } else {
            node->values[n_kept++] = node->values[i];
        }
    }
    node->n_values = n_kept;
}

static bool
parse_set(struct parser *parser, struct node *node)
{
    if (!take(parser, "{")) {
        return fail(parser, "'{'");
    }
    if (take(parser, "}")) {
        return true;
    }
    do {
        if (!parse_member(parser, node)) {
            return false;
        }
    } while (take(parser, ","));
    set_normalise(node);
    return take(parser, "}") || fail(parser, "',' or '}'");
}

static bool
parse_one_value(struct parser *parser, struct node *node, enum op op)
{
    node->op = op;
    node->values = xcalloc(1, sizeof(char *));
    if (!parse_string(parser, &node->values[0])) {
        return false;
    }
    node->n_values = 1;
    return true;
}

static bool
parse_operator(struct parser *parser, struct node *node)
{
    if (take(parser, "==")) {
        return parse_one_value(parser, node, OP_EQ);
    }
    if (take(parser, "!=")) {
        return parse_one_value(parser, node, OP_NE);
    }
    if (take(parser, "contains")) {
        return parse_one_value(parser, node, OP_CONTAINS);
    }
    if (take(parser, "starts")) {
        return take(parser, "with") ? parse_one_value(parser, node, OP_STARTS)
                                    : fail(parser, "'with'");
    }
    if (take(parser, "ends")) {
        return take(parser, "with") ? parse_one_value(parser, node, OP_ENDS)
                                    : fail(parser, "'with'");
    }
    if (take(parser, "not")) {
        node->op = OP_NOT_IN;
        return take(parser, "in") ? parse_set(parser, node) : fail(parser, "'in'");
    }
    if (take(parser, "in")) {
        node->op = OP_IN;
        return parse_set(parser, node);
    }
    return fail(parser, "an operator (==, !=, in, not in, contains, starts with, ends with)");
}

static void
node_done(struct node *node)
{
    for (size_t i = 0; i < node->n_values; i++) {
        free(node->values[i]);
    }
    free(node->values);
    free(node->key);
}

/* all(), global() and has(x): a name directly followed by '('; 'has' alone is a label. */
static bool
take_function(struct parser *parser, const char *name)
{
    const char *start;

    skip_blanks(parser);
    start = parser->at;
    if (strncmp(start, name, strlen(name)) == 0) {
        parser->at += strlen(name);
        if (take(parser, "(")) {
            return true;
        }
    }
    parser->at = start;
    return false;
}

static bool
parse_function(struct parser *parser, struct node *node, bool *ret_found)
{
    *ret_found = true;
    if (take_function(parser, "all")) {
        node->op = OP_ALL;
    } else if (take_function(parser, "global")) {
        node->op = OP_GLOBAL;
    } else if (take_function(parser, "has")) {
        node->op = OP_HAS;
        if (!parse_key(parser, &node->key)) {
            return false;
        }
    } else {
        *ret_found = false;
        return true;
    }
    return take(parser, ")") || fail(parser, "')'");
}

static bool
parse_primary(struct parser *parser, size_t *ret_id)
{
    struct node node = {0};
    bool is_function = false;

    if (take(parser, "(")) {
        if (!parse_or(parser, ret_id)) {
            return false;
        }
        return take(parser, ")") || fail(parser, "')'");
    }
    if (!parse_function(parser, &node, &is_function) ||
        (!is_function && (!parse_key(parser, &node.key) || !parse_operator(parser, &node)))) {
        node_done(&node);
        return false;
    }
    *ret_id = node_add(parser, node);
    return true;
}

static bool
parse_unary(struct parser *parser, size_t *ret_id)
{
    bool is_negated = false;

    /* A loop, not recursion: a line of '!' costs no stack. "!=" cannot start a unary. */
    while (take(parser, "!")) {
        is_negated = !is_negated;
    }
    if (!parse_primary(parser, ret_id)) {
        return false;
    }
    if (is_negated && parser->selector->nodes.items[*ret_id].op == OP_NOT) {
        /* "!(!x)" is x, as "!!x" is: one canonical form. */
        *ret_id = parser->selector->nodes.items[*ret_id].left;
    } else if (is_negated) {
        *ret_id = node_add(parser, (struct node){.op = OP_NOT, .left = *ret_id});
    }
    return true;
}

static bool
parse_and(struct parser *parser, size_t *ret_id)
{
    if (!parse_unary(parser, ret_id)) {
        return false;
    }
    while (take(parser, "&&")) {
        size_t right = 0;
        if (!parse_unary(parser, &right)) {
            return false;
        }
        *ret_id = node_add(parser, (struct node){.op = OP_AND, .left = *ret_id, .right = right});
    }
    return true;
}

static bool
parse_or(struct parser *parser, size_t *ret_id)
{
    bool is_good = ++parser->depth <= SELECTOR_DEPTH_MAX;

    if (!is_good) {
        return fail(parser, "fewer parentheses");
    }
    is_good = parse_and(parser, ret_id);
    while (is_good && take(parser, "||")) {
        size_t right = 0;
        is_good = parse_and(parser, &right);
        if (is_good) {
            *ret_id = node_add(parser, (struct node){.op = OP_OR, .left = *ret_id, .right = right});
        }
    }
    parser->depth--;
    return is_good;
}

bool
selector_parse(const char *text, struct selector **ret_selector, struct err *err)
{
    struct parser parser = {.text = text, .at = text, .err = err};

    if (strlen(text) > SELECTOR_LEN_MAX) {
        return err_set(err, "longer than %d characters", SELECTOR_LEN_MAX);
    }
    parser.selector = NEW(struct selector);
    skip_blanks(&parser);
    if (*parser.at == '\0') {
        parser.selector->root = node_add(&parser, (struct node){.op = OP_ALL});
        *ret_selector = parser.selector;
        return true;
    }
    if (parse_or(&parser, &parser.selector->root)) {
        skip_blanks(&parser);
        if (*parser.at == '\0') {
            *ret_selector = parser.selector;
            return true;
        }
        (void)fail(&parser, "'&&', '||' or the end");
    }
    selector_free(parser.selector);
    return false;
}

void
selector_free(struct selector *selector)
{
    if (selector == NULL) {
        return;
    }
    VEC_FOREACH (&selector->nodes, node) {
        node_done(node);
    }
    VEC_DONE(&selector->nodes);
    free(selector);
}

static bool
compare(const struct node *node, const char *value)
{
    size_t len = strlen(value);
    const char *operand = node->n_values > 0 ? node->values[0] : "";
    size_t operand_len = strlen(operand);

    switch (node->op) {
    case OP_EQ:
        return strcmp(value, operand) == 0;
    case OP_CONTAINS:
        return strstr(value, operand) != NULL;
    case OP_STARTS:
        return strncmp(value, operand, operand_len) == 0;
    case OP_ENDS:
        return len >= operand_len && strcmp(value + len - operand_len, operand) == 0;
    case OP_IN:
        return node->n_values > 0 && bsearch(&value, node->values, node->n_values,
                                             sizeof(*node->values), compare_texts) != NULL;
    case OP_ALL:
    case OP_GLOBAL:
    case OP_HAS:
    case OP_NE:
    case OP_NOT_IN:
    case OP_NOT:
    case OP_AND:
    case OP_OR:
        break;
    }
    return false;
}

bool
selector_matches(const struct selector *selector,
                 const char *(*get)(const void *labels, const char *key), const void *labels)
{
    /* Operands come before their operators, so one pass in order settles every node; no recursion
     * however long a chain of && the text has. */
    AUTO_FREE bool *results = xcalloc(selector->nodes.n, sizeof(bool));

    for (size_t i = 0; i < selector->nodes.n; i++) {
        const struct node *node = &selector->nodes.items[i];
        const char *value = node->key != NULL ? get(labels, node->key) : NULL;
        struct node positive = *node;

        switch (node->op) {
        case OP_ALL:
            results[i] = true;
            break;
        case OP_GLOBAL:
            results[i] = false;
            break;
        case OP_HAS:
            results[i] = value != NULL;
            break;
        case OP_NE:
        case OP_NOT_IN:
            positive.op = node->op == OP_NE ? OP_EQ : OP_IN;
            results[i] = value == NULL || !compare(&positive, value);
            break;
        case OP_EQ:
        case OP_CONTAINS:
        case OP_STARTS:
        case OP_ENDS:
        case OP_IN:
            results[i] = value != NULL && compare(node, value);
            break;
        case OP_NOT:
            results[i] = !results[node->left];
            break;
        case OP_AND:
            results[i] = results[node->left] && results[node->right];
            break;
        case OP_OR:
            results[i] = results[node->left] || results[node->right];
            break;
        }
    }
    return results[selector->root];
}

static void
key_prefix(struct node *node, const char *prefix)
{
    struct str key = STR_INIT;

    str_addf(&key, "%s%s", prefix, node->key);
    free(node->key);
    node->key = str_steal(&key);
}

/* Appends the node, whose operands are where they belong, and returns its id. */
static size_t
append(struct selector *made, struct node node)
{
    if (node.op == OP_NOT && node.left < made->nodes.n &&
        made->nodes.items[node.left].op == OP_NOT) {
        return made->nodes.items[node.left].left; /* "!!x" is x, as the parser has it */
    }
    VEC_PUSH(&made->nodes, node);
    return made->nodes.n - 1;
}

static size_t
append_member(struct selector *made, enum op op, const char *key)
{
    size_t id = append(made, (struct node){.op = OP_HAS, .key = xstrdup(key)});

    return op == OP_ALL ? id : append(made, (struct node){.op = OP_NOT, .left = id});
}

void
selector_inherit(struct selector *selector, const char *prefix, const char *member_key)
{
    struct selector made = {0};
    /* Where each node went: global() becomes two. */
    AUTO_FREE size_t *moved = xcalloc(selector->nodes.n, sizeof(*moved));

    for (size_t i = 0; i < selector->nodes.n; i++) {
        struct node node = selector->nodes.items[i];
        bool is_leaf = node.op == OP_ALL || node.op == OP_GLOBAL;
        if (is_leaf && member_key != NULL) {
            moved[i] = append_member(&made, node.op, member_key);
            continue;
        }
        if (node.key != NULL) {
            key_prefix(&node, prefix);
        } else if (!is_leaf) {
            node.left = moved[node.left];
            node.right = moved[node.right];
        }
        moved[i] = append(&made, node);
    }
    made.root = moved[selector->root];
    VEC_DONE(&selector->nodes);
    *selector = made;
}

bool
selector_has_global(const struct selector *selector)
{
    for (size_t i = 0; i < selector->nodes.n; i++) {
        if (selector->nodes.items[i].op == OP_GLOBAL) {
            return true;
        }
    }
    return false;
}

static char
quote_for(const char *value)
{
    return strchr(value, '"') != NULL ? '\'' : '"';
}

static void
print_value(const char *value, struct str *out)
{
    char quote = quote_for(value);

    str_add_char(out, quote);
    str_add(out, value);
    str_add_char(out, quote);
}

bool
selector_print_value(const char *value, struct str *out)
{
    if (strchr(value, quote_for(value)) != NULL) {
        return false;
    }
    print_value(value, out);
    return true;
}

bool
selector_is_key(const char *text)
{
    size_t len = label_len(text);

    return len > 0 && len <= KEY_LEN_MAX && text[len] == '\0';
}

static void
print_comparison(const struct node *node, struct str *out)
{
    static const char *const signs[] = {[OP_EQ] = "==",
                                        [OP_NE] = "!=",
                                        [OP_CONTAINS] = "contains",
                                        [OP_STARTS] = "starts with",
                                        [OP_ENDS] = "ends with",
                                        [OP_IN] = "in",
                                        [OP_NOT_IN] = "not in"};
    bool is_set = node->op == OP_IN || node->op == OP_NOT_IN;

    str_addf(out, "%s %s ", node->key, signs[node->op]);
    if (is_set) {
        str_add_char(out, '{');
    }
    for (size_t i = 0; i < node->n_values; i++) {
        str_add(out, i > 0 ? ", " : "");
        print_value(node->values[i], out);
    }
    if (is_set) {
        str_add_char(out, '}');
    }
}

/* Operands of one operator stand in one pair of parentheses: "(a && b && c)". The left operand of
 * a chain is printed by walking down, so a long chain is a loop. */
static void
print_node(const struct selector *selector, size_t id, struct str *out)
{
    const struct node *node = &selector->nodes.items[id];
    VEC(size_t) operands = VEC_INIT;

    switch (node->op) {
    case OP_ALL:
        str_add(out, "all()");
        break;
    case OP_GLOBAL:
        str_add(out, "global()");
        break;
    case OP_HAS:
        str_addf(out, "has(%s)", node->key);
        break;
    case OP_NOT:
        str_add_char(out, '!');
        print_node(selector, node->left, out);
        break;
    case OP_AND:
    case OP_OR:
        while (selector->nodes.items[id].op == node->op) {
            VEC_PUSH(&operands, selector->nodes.items[id].right);
            id = selector->nodes.items[id].left;
        }
        str_add_char(out, '(');
        print_node(selector, id, out);
        for (size_t i = operands.n; i > 0; i--) {
            str_add(out, node->op == OP_AND ? " && " : " || ");
            print_node(selector, operands.items[i - 1], out);
        }
        str_add_char(out, ')');
        VEC_DONE(&operands);
        break;
    case OP_EQ:
    case OP_NE:
    case OP_CONTAINS:
    case OP_STARTS:
    case OP_ENDS:
    case OP_IN:
    case OP_NOT_IN:
        print_comparison(node, out);
        break;
    }
}

void
selector_print(const struct selector *selector, struct str *out)
{
    print_node(selector, selector->root, out);
}

const char *
selector_key(const struct selector *selector, size_t i)
{
    for (size_t n = 0; n < selector->nodes.n; n++) {
        const char *key = selector->nodes.items[n].key;
        if (key != NULL && i-- == 0) {
            return key;
        }
    }
    return NULL;
}

/* Gives the requirement number *skip in the subtree, or lowers *skip by how many it has. */
static bool
required_find(const struct selector *selector, size_t id, size_t *skip,
              struct selector_required *ret_required)
{
    const struct node *node = &selector->nodes.items[id];

    if (node->op == OP_AND) {
        return required_find(selector, node->left, skip, ret_required) ||
               required_find(selector, node->right, skip, ret_required);
    }
    if (node->op != OP_EQ && node->op != OP_IN) {
        return false;
    }
    if ((*skip)-- > 0) {
        return false;
    }
    *ret_required = (struct selector_required){
        .key = node->key, .values = node->values, .n_values = node->n_values};
    return true;
}

bool
selector_required(const struct selector *selector, size_t i, struct selector_required *ret_required)
{
    return required_find(selector, selector->root, &i, ret_required);
}
