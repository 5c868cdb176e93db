/* Prometheus metrics of one process: counters, gauges and histograms, with labels. Exposition
 * format text 0.0.4. Names and help are string literals that outlive it all. */
#pragma once

#include <stddef.h>

#include "lib/base/str.h"

enum metric_type {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_HISTOGRAM
};

struct metrics;
struct metric;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);

/* The same name twice gives the same metric. A metric without labels shows 0 from the start. */
struct metric *metrics_define(struct metrics *metrics, enum metric_type type, const char *name,
                              const char *help);
void metric_add(struct metric *metric, double amount);
void metric_set(struct metric *metric, double value);
/* Histogram in seconds, buckets from 0.1 ms to 60 s. */
void metric_observe(struct metric *metric, double seconds);
/* The same for one label set: names and values alternating, NULL-terminated, values are escaped:
 *     metric_add_for(rejected, 1, "kind", "IPPool", NULL); */
void metric_add_for(struct metric *metric, double amount, ...) __attribute__((sentinel));
void metric_set_for(struct metric *metric, double value, ...) __attribute__((sentinel));
/* Forgets every label set: before gauges of things that come and go are set anew. */
void metric_clear(struct metric *metric);
double metric_value(const struct metric *metric); /* of the set without labels; for tests */

/* Called before each exposition, for values that are read on demand. */
void metrics_on_collect(struct metrics *metrics, void (*collect)(void *owner), void *owner);
void metrics_write(struct metrics *metrics, struct str *out);
