/* Decodes core/v1 Namespace and ServiceAccount. */
#include "lib/model/namespace.h"

#include <stdlib.h>

#include "lib/base/alloc.h"
#include "lib/model/kind.h"
#include "lib/model/meta.h"

void *
namespace_decode(struct json_object *json, const struct kind_issues *issues, struct err *err)
{
    struct namespace *ns = NEW(struct namespace);

    (void)issues;
    if (!meta_name(json, &ns->name, err) || !labels_decode(json, &ns->labels, err)) {
        namespace_free(ns);
        return NULL;
    }
    return ns;
}

void
namespace_free(void *object)
{
    struct namespace *ns = object;

    if (ns == NULL) {
        return;
    }
    free(ns->name);
    labels_done(&ns->labels);
    free(ns);
}

bool
namespace_equal(const void *one, const void *other)
{
    const struct namespace *a = one, *b = other;

    return text_equal(a->name, b->name) && labels_equal(&a->labels, &b->labels);
}

void *
service_account_decode(struct json_object *json, const struct kind_issues *issues, struct err *err)
{
    struct service_account *account = NEW(struct service_account);

    (void)issues;
    if (!meta_name(json, &account->name, err) || !meta_namespace(json, &account->ns, err) ||
        !labels_decode(json, &account->labels, err)) {
        service_account_free(account);
        return NULL;
    }
    return account;
}

void
service_account_free(void *object)
{
    struct service_account *account = object;

    if (account == NULL) {
        return;
    }
    free(account->ns);
    free(account->name);
    labels_done(&account->labels);
    free(account);
}

bool
service_account_equal(const void *one, const void *other)
{
    const struct service_account *a = one, *b = other;

    return text_equal(a->ns, b->ns) && text_equal(a->name, b->name) &&
           labels_equal(&a->labels, &b->labels);
}
