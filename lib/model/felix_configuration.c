/* Decodes projectcalico FelixConfiguration. */
#include "lib/model/felix_configuration.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/alloc.h"
#include "lib/base/str.h"
#include "lib/base/vec.h"
#include "lib/model/field.h"
#include "lib/model/kind.h"
#include "lib/model/meta.h"

static bool
text_value(struct json_object *value, struct str *out, struct err *err)
{
    const char *text = NULL;

    if (!json_object_is_type(value, json_type_string)) {
        str_add(out, json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));
        return true;
    }
    if (!field_value_text(value, "value", &text, err)) {
        return false;
    }
    str_add(out, text);
    return true;
}

/* {"protocol":"TCP","net":"0.0.0.0/0","port":22} → "TCP:0.0.0.0/0:22". The net is in brackets for
 * the colons of IPv6. */
static bool
port_value(struct json_object *value, struct str *out, struct err *err)
{
    const char *protocol = "tcp", *net = NULL;

    if (!field_text(value, "protocol", &protocol, err) || !field_text(value, "net", &net, err)) {
        return false;
    }
    str_addf(out, "%s:", protocol);
    if (net != NULL && net[0] != '\0') {
        str_addf(out, "[%s]:", net);
    }
    str_add(out,
            json_object_to_json_string_ext(field_member(value, "port"), JSON_C_TO_STRING_PLAIN));
    return true;
}

static bool
list_value(struct json_object *list, struct str *out, struct err *err)
{
    size_t n = json_object_array_length(list);

    if (n == 0) {
        str_add(out, "none");
    }
    for (size_t i = 0; i < n; i++) {
        struct json_object *item = json_object_array_get_idx(list, i);
        str_add(out, i > 0 ? "," : "");
        bool is_good = field_member(item, "port") != NULL ? port_value(item, out, err)
                                                          : text_value(item, out, err);
        if (!is_good) {
            return err_wrap(err, "[%zu]", i);
        }
    }
    return true;
}

/* The caller frees; NULL: there is none, or it was reported. */
static char *
value_text(const char *key, struct json_object *value, const struct kind_issues *issues)
{
    AUTO(str) struct str text = STR_INIT;
    struct err issue = ERR_INIT;

    if (value == NULL) {
        return NULL;
    }
    bool is_good = json_object_is_type(value, json_type_array) ? list_value(value, &text, &issue)
                                                               : text_value(value, &text, &issue);
    if (!is_good) {
        (void)err_wrap(&issue, "spec.%.64s", key);
        kind_issue(issues, &issue);
        return NULL;
    }
    return xstrdup(str_text(&text));
}

static bool
values_decode(struct json_object *json, struct labels *ret_values, const struct kind_issues *issues,
              struct err *err)
{
    struct json_object *spec = field_find(json, "spec");
    VEC(struct label) pairs = VEC_INIT;

    if (spec == NULL) {
        return true;
    }
    if (!json_object_is_type(spec, json_type_object)) {
        return err_set(err, "spec: is not an object");
    }
    json_object_object_foreach(spec, key, value)
    {
        char *text = value_text(key, value, issues);
        if (text != NULL) {
            VEC_PUSH(&pairs, (struct label){.key = key, .value = text});
        }
    }
    *ret_values = labels_from(pairs.items, pairs.n);
    VEC_FOREACH (&pairs, pair) {
        free(pair->value);
    }
    VEC_DONE(&pairs);
    return true;
}

void *
felix_configuration_decode(struct json_object *json, const struct kind_issues *issues,
                           struct err *err)
{
    struct felix_configuration *configuration = NEW(struct felix_configuration);

    if (!meta_name(json, &configuration->name, err) ||
        !values_decode(json, &configuration->values, issues, err)) {
        felix_configuration_free(configuration);
        return NULL;
    }
    return configuration;
}

void
felix_configuration_free(void *object)
{
    struct felix_configuration *configuration = object;

    if (configuration == NULL) {
        return;
    }
    free(configuration->name);
    labels_done(&configuration->values);
    free(configuration);
}

bool
felix_configuration_equal(const void *one, const void *other)
{
    const struct felix_configuration *a = one, *b = other;

    return text_equal(a->name, b->name) && labels_equal(&a->values, &b->values);
}
