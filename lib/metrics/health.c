/* Health checks. */
#include "lib/metrics/health.h"

#include "lib/base/alloc.h"
#include "lib/base/table.h"

struct part {
    bool is_ready;
    bool is_live;
    char *reason;
};

struct health {
    struct table *parts;
};

struct health *
health_new(void)
{
    struct health *health = NEW(struct health);

    health->parts = table_new();
    return health;
}

static void
part_free(void *value)
{
    struct part *part = value;

    free(part->reason);
    free(part);
}

void
health_free(struct health *health)
{
    if (health) {
        table_free(health->parts, part_free);
        free(health);
    }
}

void
health_report(struct health *health, const char *name, bool is_ready, bool is_live,
              const char *reason)
{
    struct part *part = table_get(health->parts, name);

    if (!part) {
        part = NEW(struct part);
        table_put(health->parts, name, part);
    }
    char *copy = xstrdup(reason ? reason : "");
    free(part->reason);
    *part = (struct part){.is_ready = is_ready, .is_live = is_live, .reason = copy};
}

bool
health_is_ready(const struct health *health)
{
    TABLE_FOREACH (health->parts, entry) {
        const struct part *part = table_value(entry);
        if (!part->is_ready) {
            return false;
        }
    }
    return true;
}

bool
health_is_live(const struct health *health)
{
    TABLE_FOREACH (health->parts, entry) {
        const struct part *part = table_value(entry);
        if (!part->is_live) {
            return false;
        }
    }
    return true;
}

void
health_write(const struct health *health, struct str *out)
{
    TABLE_FOREACH (health->parts, entry) {
        const struct part *part = table_value(entry);
        str_addf(out, "%s: %s%s%s\n", table_key(entry),
                 !part->is_live    ? "not live"
                 : !part->is_ready ? "not ready"
                                   : "ready",
                 *part->reason ? ": " : "", part->reason);
    }
}
