/* Coalescing: many notes, one run. The first kick after an idle time runs in the next turn of the
 * loop; further ones while busy are gathered for 'window_ms' after the last run. This is the one
 * place between model and calculation where time enters. */
#pragma once

#include <stdint.h>
#include <uv.h>

struct kick {
    uv_timer_t timer;
    void (*run)(void *owner);
    void *owner;
    uint64_t window_ms;
    uint64_t last_run_ms; /* loop time; 0 never */
    int armed;
};

void kick_init(struct kick *kick, uv_loop_t *loop, uint64_t window_ms, void (*run)(void *owner),
               void *owner);
void kick(struct kick *kick);
/* Runs once after 'delay_ms' unless kicked sooner: for retries. */
void kick_later(struct kick *kick, uint64_t delay_ms);
/* Stops and closes the timer; the loop must turn once more before the memory goes. */
void kick_close(struct kick *kick);
