/* Puts selectors together. Called by the decoders of policies. */
#include "lib/model/policy_selector.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/vec.h"
#include "lib/model/policy_draft.h"
#include "lib/selector/selector.h"

static const struct {
    const char *prefix;     /* of labels as endpoints inherit them; NULL: their own */
    const char *member_key; /* see selector_inherit() */
} scopes[] = {
    [SCOPE_OWN] = {NULL, NULL},
    [SCOPE_NAMESPACE] = {"pcns.", LABEL_NAMESPACE},
    [SCOPE_SERVICE_ACCOUNT] = {"pcsa.", LABEL_SERVICE_ACCOUNT},
    [SCOPE_PEER_SERVICE_ACCOUNT] = {"pcsa.", NULL},
};

void
clauses_done(struct clauses *clauses)
{
    str_done(&clauses->text);
}

bool
clauses_are_empty(const struct clauses *clauses)
{
    return clauses->text.len == 0;
}

static struct str *
next_clause(struct clauses *clauses)
{
    if (clauses->text.len > 0) {
        str_add(&clauses->text, " && ");
    }
    return &clauses->text;
}

void
clauses_add_equal(struct clauses *clauses, const char *key, const char *value)
{
    str_addf(next_clause(clauses), "%s == \"%s\"", key, value);
}

void
clauses_add_has(struct clauses *clauses, const char *key)
{
    str_addf(next_clause(clauses), "has(%s)", key);
}

void
clauses_add_pods_only(struct clauses *clauses)
{
    clauses_add_equal(clauses, LABEL_ORCHESTRATOR, "k8s");
}

static bool
parse(const char *text, enum clause_scope scope, struct selector **ret_selector, struct err *err)
{
    size_t len = strlen(text);

    if (len > POLICY_SELECTOR_MAX) {
        return err_set(err, "%zu characters are more than %d", len, POLICY_SELECTOR_MAX);
    }
    if (!selector_parse(text, ret_selector, err)) {
        return false;
    }
    if (scope != SCOPE_NAMESPACE && selector_has_global(*ret_selector)) {
        selector_free(*ret_selector);
        return err_set(err, "global() can stand in a namespaceSelector only");
    }
    if (scopes[scope].prefix != NULL) {
        selector_inherit(*ret_selector, scopes[scope].prefix, scopes[scope].member_key);
    }
    return true;
}

bool
clauses_add_selector(struct clauses *clauses, enum clause_scope scope, const char *text,
                     struct err *err)
{
    AUTO(str) struct str canonical = STR_INIT;
    struct selector *selector = NULL;

    if (text[0] == '\0') {
        return true;
    }
    if (!parse(text, scope, &selector, err)) {
        return false;
    }
    selector_print(selector, &canonical);
    selector_free(selector);
    if (strcmp(canonical.text, "all()") != 0) {
        str_add(next_clause(clauses), canonical.text);
    } else if (clauses->text.len == 0) {
        /* Given is more than absent: "all()" is what is known to the cluster. */
        str_add(&clauses->text, canonical.text);
    }
    return true;
}

bool
clauses_add_not(struct clauses *clauses, const char *text, struct err *err)
{
    struct selector *selector = NULL;

    if (!parse(text, SCOPE_OWN, &selector, err)) {
        return false;
    }
    str_add_char(next_clause(clauses), '!');
    selector_print(selector, &clauses->text);
    selector_free(selector);
    return true;
}

/* ---- label selectors of Kubernetes --------------------------------------------------------- */

struct pair {
    const char *key, *value;
};

typedef VEC(struct pair) pair_vec;

static bool
collect_pair(void *owner, const char *key, const char *value, struct err *err)
{
    pair_vec *pairs = owner;

    (void)err;
    VEC_PUSH(pairs, (struct pair){.key = key, .value = value});
    return true;
}

static int
compare_pairs(const void *a, const void *b)
{
    return strcmp(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

static bool
check_key(const char *key, struct err *err)
{
    return selector_is_key(key) || err_set(err, "'%.64s' is not a label's name", key);
}

static bool
add_value(struct str *out, const char *value, struct err *err)
{
    return selector_print_value(value, out) ||
           err_set(err, "'%.64s' is not a label's value", value);
}

/* Sorted, for one text whatever the order in the object. */
static bool
add_match_labels(struct clauses *clauses, enum clause_scope scope, const struct json_at *selector,
                 struct err *err)
{
    const char *prefix = scopes[scope].prefix != NULL ? scopes[scope].prefix : "";
    pair_vec pairs = VEC_INIT;
    struct json_at labels;
    bool is_good = json_get_object(selector, "matchLabels", JSON_OPTIONAL, &labels, err) &&
                   json_each_string(&labels, collect_pair, &pairs, err);

    if (is_good && pairs.n > 1) {
        qsort(pairs.items, pairs.n, sizeof(*pairs.items), compare_pairs);
    }
    for (size_t i = 0; is_good && i < pairs.n; i++) {
        struct str *out = next_clause(clauses);
        is_good = check_key(pairs.items[i].key, err);
        if (is_good) {
            str_addf(out, "%s%s == ", prefix, pairs.items[i].key);
            is_good = add_value(out, pairs.items[i].value, err);
        }
        if (!is_good) {
            (void)json_wrap(&labels, pairs.items[i].key, err);
        }
    }
    VEC_DONE(&pairs);
    return is_good;
}

static bool
add_set(struct str *out, const struct json_at *values, struct err *err)
{
    if (json_len(values) == 0) {
        (void)err_set(err, "is empty");
        return json_wrap(values, NULL, err);
    }
    str_add_char(out, '{');
    for (size_t i = 0; i < json_len(values); i++) {
        struct json_at item = json_item(values, i);
        const char *value = NULL;
        if (!json_as_string(&item, &value, err)) {
            return false;
        }
        str_add(out, i > 0 ? ", " : "");
        if (!add_value(out, value, err)) {
            return json_wrap(&item, NULL, err);
        }
    }
    str_add_char(out, '}');
    return true;
}

static bool
add_expression(struct str *out, const char *prefix, const struct json_at *expression,
               struct err *err)
{
    static const char *const known[] = {"key", "operator", "values", NULL};
    const char *key = NULL, *operator= NULL;
    struct json_at values;

    if (!draft_members_known(expression, known, err) ||
        !json_get_string(expression, "key", JSON_REQUIRED, &key, err) ||
        !json_get_string(expression, "operator", JSON_REQUIRED, &operator, err) ||
        !json_get_array(expression, "values", JSON_OPTIONAL, &values, err)) {
        return false;
    }
    if (!check_key(key, err)) {
        return json_wrap(expression, "key", err);
    }
    if (strcmp(operator, "In") == 0 || strcmp(operator, "NotIn") == 0) {
        str_addf(out, "%s%s %s ", prefix, key, operator[0] == 'N' ? "not in" : "in");
        return json_has(expression, "values")
                   ? add_set(out, &values, err)
                   : err_set(err, "is missing") || json_wrap(expression, "values", err);
    }
    if (strcmp(operator, "Exists") != 0 && strcmp(operator, "DoesNotExist") != 0) {
        (void)err_set(err, "'%.64s' is not In, NotIn, Exists or DoesNotExist", operator);
        return json_wrap(expression, "operator", err);
    }
    if (json_len(&values) > 0) {
        (void)err_set(err, "must be empty with %s", operator);
        return json_wrap(expression, "values", err);
    }
    str_addf(out, "%shas(%s%s)", operator[0] == 'D' ? "!" : "", prefix, key);
    return true;
}

bool
clauses_add_labels(struct clauses *clauses, enum clause_scope scope, const struct json_at *selector,
                   struct err *err)
{
    static const char *const known[] = {"matchLabels", "matchExpressions", NULL};
    const char *prefix = scopes[scope].prefix != NULL ? scopes[scope].prefix : "";
    size_t before = clauses->text.len;
    struct json_at expressions;

    if (!json_as_object(selector, err) || !draft_members_known(selector, known, err) ||
        !add_match_labels(clauses, scope, selector, err) ||
        !json_get_array(selector, "matchExpressions", JSON_OPTIONAL, &expressions, err)) {
        return false;
    }
    for (size_t i = 0; i < json_len(&expressions); i++) {
        struct json_at expression = json_item(&expressions, i);
        if (!json_as_object(&expression, err) ||
            !add_expression(next_clause(clauses), prefix, &expression, err)) {
            return false;
        }
    }
    if (clauses->text.len == before && scopes[scope].member_key != NULL) {
        clauses_add_has(clauses, scopes[scope].member_key);
    }
    return true;
}

bool
clauses_steal(struct clauses *clauses, char **ret_text, struct err *err)
{
    struct selector *selector = NULL, *again = NULL;
    AUTO(str) struct str text = STR_INIT;

    if (!selector_parse(str_text(&clauses->text), &selector, err)) {
        return false;
    }
    selector_print(selector, &text);
    selector_free(selector);
    /* Short text cannot pass a limit. */
    if (text.len > SELECTOR_DEPTH_MAX) {
        if (!selector_parse(text.text, &again, err)) {
            return false;
        }
        selector_free(again);
    }
    *ret_text = str_steal(&text);
    clauses_done(clauses);
    return true;
}
