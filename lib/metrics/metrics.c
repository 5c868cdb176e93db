/* The metric registry and its text exposition. */
#include "lib/metrics/metrics.h"

#include <math.h>
#include <stdint.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"

static const double bucket_bounds[] = {0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                       0.1,    0.25,   0.5,   1,      2.5,   5,    10,    60};
#define N_BUCKETS ARRAY_LEN(bucket_bounds)

struct sample {
    double value; /* sum, for a histogram */
    uint64_t n;
    uint64_t buckets[];
};

struct metric {
    enum metric_type type;
    const char *name;
    const char *help;
    struct table *samples; /* label text -> struct sample */
};

struct collector {
    void (*collect)(void *owner);
    void *owner;
};

struct metrics {
    struct table *by_name;
    VEC(struct collector) collectors;
};

struct metrics *
metrics_new(void)
{
    struct metrics *metrics = NEW(struct metrics);

    metrics->by_name = table_new();
    return metrics;
}

static void
metric_free(void *value)
{
    struct metric *metric = value;

    table_free(metric->samples, free);
    free(metric);
}

void
metrics_free(struct metrics *metrics)
{
    if (!metrics) {
        return;
    }
    table_free(metrics->by_name, metric_free);
    VEC_DONE(&metrics->collectors);
    free(metrics);
}

static struct sample *
sample_for(struct metric *metric, const char *labels)
{
    struct sample *sample = table_get(metric->samples, labels);

    if (!sample) {
        size_t n = metric->type == METRIC_HISTOGRAM ? N_BUCKETS : 0;
        sample = xcalloc(1, sizeof *sample + n * sizeof sample->buckets[0]);
        table_put(metric->samples, labels, sample);
    }
    return sample;
}

struct metric *
metrics_define(struct metrics *metrics, enum metric_type type, const char *name, const char *help)
{
    struct metric *metric = table_get(metrics->by_name, name);

    if (metric) {
        return metric;
    }
    metric = NEW(struct metric);
    *metric = (struct metric){.type = type, .name = name, .help = help, .samples = table_new()};
    table_put(metrics->by_name, name, metric);
    return metric;
}

void
metric_add(struct metric *metric, double amount)
{
    sample_for(metric, "")->value += amount;
}

void
metric_set(struct metric *metric, double value)
{
    sample_for(metric, "")->value = value;
}

void
metric_observe(struct metric *metric, double seconds)
{
    struct sample *sample = sample_for(metric, "");

    sample->value += seconds;
    sample->n++;
    for (size_t i = 0; i < N_BUCKETS; i++) {
        sample->buckets[i] += seconds <= bucket_bounds[i];
    }
}

static void
add_label_value(struct str *out, const char *value)
{
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '\n') {
            str_add(out, "\\n");
        } else {
            if (*c == '"' || *c == '\\') {
                str_add_char(out, '\\');
            }
            str_add_char(out, *c);
        }
    }
}

static void
label_text(struct str *out, va_list *args)
{
    for (const char *name = va_arg(*args, const char *); name; name = va_arg(*args, const char *)) {
        const char *value = va_arg(*args, const char *);
        str_addf(out, "%s%s=\"", out->len ? "," : "", name);
        add_label_value(out, value ? value : "");
        str_add_char(out, '"');
    }
}

void
metric_add_for(struct metric *metric, double amount, ...)
{
    AUTO(str) struct str labels = STR_INIT;
    va_list args;

    va_start(args, amount);
    label_text(&labels, &args);
    va_end(args);
    sample_for(metric, str_text(&labels))->value += amount;
}

void
metric_set_for(struct metric *metric, double value, ...)
{
    AUTO(str) struct str labels = STR_INIT;
    va_list args;

    va_start(args, value);
    label_text(&labels, &args);
    va_end(args);
    sample_for(metric, str_text(&labels))->value = value;
}

void
metric_clear(struct metric *metric)
{
    table_free(metric->samples, free);
    metric->samples = table_new();
}

double
metric_value(const struct metric *metric)
{
    const struct sample *sample = table_get(metric->samples, "");

    return sample ? sample->value : 0;
}

void
metrics_on_collect(struct metrics *metrics, void (*collect)(void *owner), void *owner)
{
    VEC_PUSH(&metrics->collectors, (struct collector){collect, owner});
}

static void
write_value(struct str *out, double value)
{
    if (value == floor(value) && fabs(value) < 1e15) {
        str_addf(out, "%.0f\n", value);
    } else {
        str_addf(out, "%.9g\n", value);
    }
}

static void
write_histogram(struct str *out, const struct metric *metric, const struct sample *sample)
{
    for (size_t i = 0; i < N_BUCKETS; i++) {
        str_addf(out, "%s_bucket{le=\"%g\"} %llu\n", metric->name, bucket_bounds[i],
                 (unsigned long long)sample->buckets[i]);
    }
    str_addf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum ", metric->name,
             (unsigned long long)sample->n, metric->name);
    write_value(out, sample->value);
    str_addf(out, "%s_count %llu\n", metric->name, (unsigned long long)sample->n);
}

static void
write_metric(struct str *out, struct metric *metric)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};

    str_addf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
             types[metric->type]);
    if (table_count(metric->samples) == 0) {
        if (metric->type != METRIC_HISTOGRAM) {
            str_addf(out, "%s 0\n", metric->name);
        }
        return;
    }
    TABLE_FOREACH (metric->samples, entry) {
        const struct sample *sample = table_value(entry);
        if (metric->type == METRIC_HISTOGRAM) {
            write_histogram(out, metric, sample);
            continue;
        }
        str_add(out, metric->name);
        if (table_key_len(entry) > 0) {
            str_addf(out, "{%s}", table_key(entry));
        }
        str_add_char(out, ' ');
        write_value(out, sample->value);
    }
}

/* process_resident_memory_bytes is what every dashboard asks for first. */
static void
write_process(struct str *out)
{
    AUTO(str) struct str statm = STR_INIT;
    unsigned long size = 0;
    unsigned long resident = 0;

    if (file_read("/proc/self/statm", 4096, &statm, NULL) &&
        sscanf(str_text(&statm), "%lu %lu", &size, &resident) == 2) {
        str_addf(out,
                 "# HELP process_resident_memory_bytes Resident memory.\n"
                 "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %lu\n",
                 resident * (unsigned long)sysconf(_SC_PAGESIZE));
    }
}

void
metrics_write(struct metrics *metrics, struct str *out)
{
    VEC_FOREACH (&metrics->collectors, it) {
        it->collect(it->owner);
    }
    TABLE_FOREACH (metrics->by_name, entry) {
        write_metric(out, table_value(entry));
    }
    write_process(out);
}
