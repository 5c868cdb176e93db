/* Decodes projectcalico NetworkSet and GlobalNetworkSet. */
#include "lib/model/network_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/vec.h"
#include "lib/model/field.h"
#include "lib/model/kind.h"
#include "lib/model/meta.h"

static int
compare_nets(const void *a, const void *b)
{
    return prefix_compare(a, b);
}

/* Sorted, so that comparing and finding what is there twice stays cheap with 100,000 of them. */
static size_t
sort_unique(struct prefix *nets, size_t n)
{
    size_t n_kept = 0;

    if (n > 0) {
        qsort(nets, n, sizeof *nets, compare_nets);
    }
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !prefix_equal(&nets[i], &nets[n_kept - 1])) {
            nets[n_kept++] = nets[i];
        }
    }
    return n_kept;
}

static bool
nets_decode(struct network_set *set, struct json_object *json, const struct kind_issues *issues,
            struct err *err)
{
    struct json_object *array = NULL;
    VEC(struct prefix) nets = VEC_INIT;

    if (!field_array(json, "spec.nets", &array, err)) {
        return false;
    }
    size_t n = array != NULL ? json_object_array_length(array) : 0;
    for (size_t i = 0; i < n; i++) {
        struct err issue = ERR_INIT;
        struct prefix net;
        const char *text = NULL;
        char what[48];
        snprintf(what, sizeof what, "spec.nets[%zu]", i);
        if (!field_value_text(json_object_array_get_idx(array, i), what, &text, &issue)) {
            kind_issue(issues, &issue);
        } else if (!prefix_parse_host(text, &net, &issue)) {
            (void)err_wrap(&issue, "%s", what);
            kind_issue(issues, &issue);
        } else {
            VEC_PUSH(&nets, prefix_network(&net));
        }
    }
    set->n_nets = sort_unique(nets.items, nets.n);
    set->nets = set->n_nets > 0 ? xmemdup(nets.items, set->n_nets * sizeof *nets.items) : NULL;
    VEC_DONE(&nets);
    return true;
}

static void *
decode(struct network_set *set, struct json_object *json, const struct kind_issues *issues,
       struct err *err)
{
    if (!meta_name(json, &set->name, err) || !nets_decode(set, json, issues, err)) {
        network_set_free(set);
        return NULL;
    }
    return set;
}

void *
network_set_decode(struct json_object *json, const struct kind_issues *issues, struct err *err)
{
    struct network_set *set = NEW(struct network_set);

    if (!meta_namespace(json, &set->ns, err) ||
        !meta_calico_own_labels(json, issues, &set->labels, err)) {
        network_set_free(set);
        return NULL;
    }
    return decode(set, json, issues, err);
}

void *
global_network_set_decode(struct json_object *json, const struct kind_issues *issues,
                          struct err *err)
{
    struct network_set *set = NEW(struct network_set);

    if (!meta_calico_labels(json, &set->labels, err)) {
        network_set_free(set);
        return NULL;
    }
    return decode(set, json, issues, err);
}

void
network_set_free(void *object)
{
    struct network_set *set = object;

    if (set == NULL) {
        return;
    }
    free(set->ns);
    free(set->name);
    labels_done(&set->labels);
    free(set->nets);
    free(set);
}

bool
network_set_equal(const void *one, const void *other)
{
    const struct network_set *a = one, *b = other;

    return text_equal(a->ns, b->ns) && text_equal(a->name, b->name) &&
           labels_equal(&a->labels, &b->labels) &&
           prefixes_equal(a->nets, a->n_nets, b->nets, b->n_nets);
}
