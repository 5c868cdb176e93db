/* Coalescing of many notes into one run, on one libuv timer. Used between model and calculation by
 * confd and felix, and for their retries. */
#include "lib/loop/kick.h"

static void
on_timer(uv_timer_t *timer)
{
    struct kick *kick = timer->data;

    kick->armed = 0;
    kick->last_run_ms = uv_now(timer->loop);
    /* run() may kick again: the next run is then a window away. */
    kick->run(kick->owner);
    /* A long run counts from its end, so that a slow consumer still gathers. */
    uv_update_time(timer->loop);
    kick->last_run_ms = uv_now(timer->loop);
}

void
kick_init(struct kick *kick, uv_loop_t *loop, uint64_t window_ms, void (*run)(void *owner),
          void *owner)
{
    *kick = (struct kick){.run = run, .owner = owner, .window_ms = window_ms};
    uv_timer_init(loop, &kick->timer);
    kick->timer.data = kick;
}

/* Arms the timer, or moves it nearer; it never moves away. */
static void
arm(struct kick *kick, uint64_t delay_ms)
{
    if (uv_is_closing((const uv_handle_t *)&kick->timer)) {
        return;
    }
    if (kick->armed && uv_timer_get_due_in(&kick->timer) <= delay_ms) {
        return;
    }
    kick->armed = 1;
    uv_timer_start(&kick->timer, on_timer, delay_ms, 0);
}

void
kick(struct kick *kick)
{
    uint64_t now_ms = uv_now(kick->timer.loop);
    uint64_t next_ms = kick->last_run_ms ? kick->last_run_ms + kick->window_ms : 0;

    arm(kick, next_ms > now_ms ? next_ms - now_ms : 0);
}

void
kick_later(struct kick *kick, uint64_t delay_ms)
{
    /* libuv reckons from the start of the turn, which may be long ago. */
    uv_update_time(kick->timer.loop);
    arm(kick, delay_ms);
}

void
kick_close(struct kick *kick)
{
    if (!uv_is_closing((const uv_handle_t *)&kick->timer)) {
        uv_close((uv_handle_t *)&kick->timer, NULL);
    }
}
