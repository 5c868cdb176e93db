/* projectcalico FelixConfiguration: "default" for all nodes, "node.<name>" for one. What the fields
 * mean is felix's business (felix/configuration.h); here they are names and texts. */
#pragma once

#include <stdbool.h>

#include "lib/model/labels.h"

struct kind_issues;

struct felix_configuration {
    char *name;
    /* Fields of spec as they are spelled there, each as a setting's text: numbers and booleans
     * written out, lists of texts joined by commas (an empty one is "none"), lists of ports with a
     * protocol as "tcp:net:port,...", everything else as JSON. */
    struct labels values;
};

/* The row of the kind's table, see kind.h. */
void *felix_configuration_decode(struct json_object *json, const struct kind_issues *issues,
                                 struct err *err);
void felix_configuration_free(void *object);
bool felix_configuration_equal(const void *a, const void *b);
