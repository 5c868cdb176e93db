/* Decodes projectcalico Tier and knows the tiers that exist without an object. */
#include "lib/model/tier.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/model/field.h"
#include "lib/model/kind.h"
#include "lib/model/meta.h"

static char kube_admin[] = "kube-admin", by_default[] = "default",
            kube_baseline[] = "kube-baseline";
static const struct tier builtins[] = {
    {.name = kube_admin, .order = 1000, .is_default_pass = true},
    {.name = by_default, .order = 1000000, .is_default_pass = false},
    {.name = kube_baseline, .order = 10000000, .is_default_pass = true},
};

const struct tier *
tier_builtin(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(builtins); i++) {
        if (strcmp(builtins[i].name, name) == 0) {
            return &builtins[i];
        }
    }
    return NULL;
}

int
tier_compare(const struct tier *a, const struct tier *b)
{
    if (a->order < b->order || a->order > b->order) {
        return a->order < b->order ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

/* Anything but Pass denies what reaches the end of the tier: a typo must not open. */
static bool
action_decode(struct json_object *json, bool *ret_is_pass, const struct kind_issues *issues,
              struct err *err)
{
    const char *action = "";
    struct err issue = ERR_INIT;

    if (!field_text(json, "spec.defaultAction", &action, err)) {
        return false;
    }
    *ret_is_pass = strcmp(action, "Pass") == 0;
    if (!*ret_is_pass && action[0] != '\0' && strcmp(action, "Deny") != 0) {
        (void)err_set(&issue, "spec.defaultAction: '%.64s' is not Deny or Pass; it is Deny",
                      action);
        kind_issue(issues, &issue);
    }
    return true;
}

static void
keep_builtin(struct tier *tier, const struct kind_issues *issues)
{
    const struct tier *builtin = tier_builtin(tier->name);
    struct err issue = ERR_INIT;

    if (builtin == NULL) {
        return;
    }
    bool is_equal = tier->is_default_pass == builtin->is_default_pass &&
                    !(tier->order < builtin->order) && !(tier->order > builtin->order);
    tier->order = builtin->order;
    tier->is_default_pass = builtin->is_default_pass;
    if (!is_equal) {
        (void)err_set(&issue, "spec: is a built-in tier; order %.0f and defaultAction %s stay",
                      tier->order, tier->is_default_pass ? "Pass" : "Deny");
        kind_issue(issues, &issue);
    }
}

void *
tier_decode(struct json_object *json, const struct kind_issues *issues, struct err *err)
{
    struct tier *tier = NEW(struct tier);

    tier->order = HUGE_VAL;
    if (!meta_name(json, &tier->name, err) ||
        !field_double(json, "spec.order", &tier->order, err) ||
        !action_decode(json, &tier->is_default_pass, issues, err)) {
        tier_free(tier);
        return NULL;
    }
    keep_builtin(tier, issues);
    return tier;
}

void
tier_free(void *object)
{
    struct tier *tier = object;

    if (tier == NULL) {
        return;
    }
    free(tier->name);
    free(tier);
}

bool
tier_equal(const void *one, const void *other)
{
    const struct tier *a = one, *b = other;

    return tier_compare(a, b) == 0 && a->is_default_pass == b->is_default_pass;
}
