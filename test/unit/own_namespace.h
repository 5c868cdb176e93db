/* A network namespace of the test's own, for what talks to the kernel. */
#pragma once

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Root needs no user namespace; anybody else is root in his own. Says why not. */
static bool
enter_own_namespace(void)
{
    if (unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0) {
        return true;
    }
    fprintf(stderr, "unshare: %s\n", strerror(errno));
    return false;
}
