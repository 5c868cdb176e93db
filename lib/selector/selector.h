/* Calico's selectors: parsed once, evaluated against labels many times.
 *
 *     expr    := and { "||" and }      and := unary { "&&" unary }      unary := { "!" } primary
 *     primary := "(" expr ")" | all() | global() | has(LABEL) | LABEL == STR | LABEL != STR
 *              | LABEL contains STR | LABEL starts with STR | LABEL ends with STR
 *              | LABEL in SET | LABEL not in SET          SET := "{" [ STR { "," STR } ] "}"
 *
 * Strings stand in ' or " and have no escapes. LABEL: letters, digits, _ . / - and at most 512 of
 * them. Blanks are space and tab. The empty selector is all(). Of a label that is missing, != and
 * "not in" are true, every other comparison is false. global() is false of everything that has
 * labels here; its meaning in namespaceSelectors belongs to who evaluates policies. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

/* Canonical text has more parentheses and blanks than what was parsed, and may pass these limits:
 * who stores it for parsing later has to try. */
#define SELECTOR_LEN_MAX 262144
#define SELECTOR_DEPTH_MAX 250

struct selector;

/* The error says what was expected at which character, with the text around it. */
MUST_CHECK bool selector_parse(const char *text, struct selector **ret_selector, struct err *err);
void selector_free(struct selector *selector); /* NULL is fine */
/* 'get' returns the value of a label, or NULL when it is missing. */
bool selector_matches(const struct selector *selector,
                      const char *(*get)(const void *labels, const char *key), const void *labels);
/* Appends the canonical text: selectors with the same canonical text are the same. */
void selector_print(const struct selector *selector, struct str *out);
/* From labels an object has to labels its members inherit, as a namespaceSelector is about the
 * namespace's labels that pods have as pcns.<key>: every key gets 'prefix' in front. With
 * 'member_key', all() becomes has(member_key), whatever is a member of any, and global() becomes
 * !has(member_key). */
void selector_inherit(struct selector *selector, const char *prefix, const char *member_key);
/* Whether global() stands in it, which means something in namespaceSelectors alone. */
bool selector_has_global(const struct selector *selector);
/* Appends 'value' as a string of the grammar; false when no quotes can hold it. */
MUST_CHECK bool selector_print_value(const char *value, struct str *out);
bool selector_is_key(const char *text); /* can be a label name in a selector */
/* Label keys the selector looks at, in order of appearance, repeated as they are. NULL past the
 * end. */
const char *selector_key(const struct selector *selector, size_t i);

/* What every match must have: the label has one of the values. Those that can be read off the top
 * of the expression (== and in, joined by &&), in order; false past the last. For indexes. */
struct selector_required {
    const char *key;
    char *const *values;
    size_t n_values; /* 0: nothing matches */
};
bool selector_required(const struct selector *selector, size_t i,
                       struct selector_required *ret_required);
