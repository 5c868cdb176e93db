/* core/v1 Namespace and ServiceAccount: their names and labels, which endpoints inherit. */
#pragma once

#include <stdbool.h>

#include "lib/model/labels.h"

struct kind_issues;

struct namespace
{
    char *name;
    struct labels labels;
};

struct service_account {
    char *ns;
    char *name;
    struct labels labels;
};

/* Rows of the kinds' table, see kind.h. */
void *namespace_decode(struct json_object *json, const struct kind_issues *issues, struct err *err);
void namespace_free(void *object);
bool namespace_equal(const void *a, const void *b);
void *service_account_decode(struct json_object *json, const struct kind_issues *issues,
                             struct err *err);
void service_account_free(void *object);
bool service_account_equal(const void *a, const void *b);
