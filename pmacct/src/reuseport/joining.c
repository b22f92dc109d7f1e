/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* How a listener joins the group, or waits to do so: see lifecycle.h. */
#include "pmacct.h"
#include <pthread.h>
#include "reuseport/accept.h"
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/fd_store.h"
#include "reuseport/health.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"

#define WAITING_MS 20 /* how often the helper thread of a waiting listener looks for other instances */

void reuseport_exit_refused(struct rp_member *member)
{
  Log(LOG_ERR, "ERROR ( %s/core ): reuseport: %s. Exiting.\n", config.name, member->error);
  rp_unlock(member);
  if (!reuseport_plugins_forked()) {
    if (config.pidfile) remove_pid_file(config.pidfile);
    exit(1);
  }
  exit_gracefully(1);
}

void reuseport_join(enum reuseport_listener id)
{
  struct rp_member *member = &listeners[id].member;
  struct rp_bucket bucket;
  __u32 number, live = 0;

  reuseport_tell_alive();
  if (rp_join(member, listeners[id].sock, reuseport_is_ready() ? RP_READY : RP_STARTING)) reuseport_exit_refused(member);
  /* it may have waited for the group's lock */
  reuseport_tell_alive();
  listeners[id].phase = LISTENER_JOINED;
  listeners[id].joined_ms = reuseport_now_ms();
  reuseport_forget_sessions(id);
  reuseport_store_socket(id);

  for (number = 0; number < RP_MAX_BUCKETS; number++)
    if (!rp_read_bucket(member, number, &bucket) && bucket.cookie) live++;
  Log(LOG_INFO, "INFO ( %s/core ): reuseport: listener %s joined %s as index %u of %u (%u live, nonce %u, failover %s).\n",
      config.name, member->listener, reuseport_config.pin_path, reuseport_config.index, rp_get_size(member), live, member->nonce,
      rp_fails_over(member) ? "on" : "off");
}

/*
 * The helper thread of a waiting listener. The main thread may be busy with its start for many seconds; if the instances that
 * receive the exporters are gone meanwhile, the listener joins, because a queue is better than a refusal.
 */
static void *watch_peers(void *arg)
{
  enum reuseport_listener id = (enum reuseport_listener)(intptr_t) arg;
  int waits;

  do {
    reuseport_sleep_ms(WAITING_MS);
    pthread_mutex_lock(&listeners_mutex);
    if (listeners[id].phase == LISTENER_WAITING && !rp_has_ready_peer(&listeners[id].member)) reuseport_join(id);
    waits = listeners[id].phase == LISTENER_WAITING;
    pthread_mutex_unlock(&listeners_mutex);
  } while (waits);

  return NULL;
}

static void start_watching_peers(enum reuseport_listener id)
{
  if (reuseport_start_thread(watch_peers, (void *) (intptr_t) id)) reuseport_join(id);
}

void reuseport_step_back_if_stuck(int ms)
{
  const struct listener *main = &listeners[reuseport_main_listener()];
  int id;

  /* whoever holds it may be what is stuck */
  if (pthread_mutex_trylock(&listeners_mutex)) return;

  for (id = 0; id < REUSEPORT_LISTENERS && !reuseport_is_reading() && main->joined_ms && reuseport_now_ms() - main->joined_ms >= ms; id++) {
    struct listener *listener = &listeners[id];

    if (listener->phase != LISTENER_JOINED || !rp_has_ready_peer(&listener->member)) continue;

    rp_give_up_bucket(&listener->member);
    listener->phase = LISTENER_WAITING;
    start_watching_peers(id);
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: listener %s has been starting for more than %d s and gives its bucket back, since other instances "
                     "read: what keeps the daemon or its plugins from starting is above in this log.\n",
        config.name, listener->member.listener, ms / 1000);
  }
  pthread_mutex_unlock(&listeners_mutex);
}

void reuseport_join_or_wait(enum reuseport_listener id)
{
  struct rp_member *member = &listeners[id].member;

  if (reuseport_is_draining()) {
    rp_unlock(member);
    listeners[id].phase = LISTENER_LEFT;
  }
  else if (rp_has_ready_peer(member)) {
    rp_unlock(member);
    listeners[id].phase = LISTENER_WAITING;
    start_watching_peers(id);
    Log(LOG_INFO, "INFO ( %s/core ): reuseport: listener %s is bound and joins %s when it reads; live instances serve its "
                  "exporters until then.\n",
        config.name, member->listener, reuseport_config.pin_path);
  }
  else
    reuseport_join(id);
  pthread_mutex_unlock(&listeners_mutex);
}
