/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The watch, a thread that looks after the others of this instance, and after other instances: see health.h. */
#include "pmacct.h"
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/faults.h"
#include "reuseport/fd_store.h"
#include "reuseport/health.h"
#include "reuseport/in_hand.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"

#define WATCH_MS     250   /* how often the watch looks */
#define SESSIONS_MS  60000 /* as REUSEPORT_STUCK_MS, for a thread that reads sessions: a full table takes its time */
#define LOOP_PART    5     /* it loops once it has taken that part, 1/5, of its patience in CPU time: a thread that waits takes none */
#define PEER_READ_MS 1000  /* another instance reads if it came round that lately */

/* ---- this instance ---- */

static long long cpu_ms(const struct reader *reader)
{
  struct timespec t;

  return clock_gettime(reader->cpu, &t) ? 0 : t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static long long patience(const struct reader *reader, int id)
{
  return reuseport_is_udp(id) && !reader->handshakes ? REUSEPORT_STUCK_MS : SESSIONS_MS;
}

/* Returns: whether it is the main thread of a daemon that reloads its maps now, because a signal has asked for it. */
static int is_reloading(int id)
{
  return id == (int) reuseport_main_listener() && reuseport_reloads_maps();
}

static void begin_round(struct reader *reader, long long now)
{
  reader->seen = reader->rounds;
  reader->since_ms = now;
  reader->cpu_ms = cpu_ms(reader);
}

/* Returns: since how many ms the thread has been at the same datagram, message or wait. The reload of maps does not count, if it was asked for
   before this round: what a signal asks for meanwhile is not done by a thread that hangs. Nor does the wait to join. */
static long long busy_for(struct reader *reader, int id, long long now)
{
  int is_new = reader->seen != reader->rounds;

  if (is_new) reader->reloads = is_reloading(id);
  if (is_new || reader->reloads || listeners[id].phase == LISTENER_WAITING) begin_round(reader, now);
  if (!is_reloading(id)) reader->reloads = FALSE;

  return now - reader->since_ms;
}

static void end_loop(const struct reader *reader, long long busy_ms)
{
  char who[INET6_ADDRSTRLEN], fate[64] = "which is not put into quarantine";
  union rp_addr exporter;
  int seconds;

  /* it may have come to an end in this moment, and have the next one in hand */
  if (!reuseport_read_in_hand(reader, &exporter) || reader->seen != reader->rounds) return;

  /* the line must not keep the process alive, if no process reads the log */
  signal(SIGALRM, SIG_DFL);
  alarm(2);
  seconds = reuseport_convict(&exporter, SIGABRT);
  reuseport_give_up_buckets();
  reuseport_note_fault(RP_LOOPED, SIGABRT, &exporter);
  rp_format_addr(&exporter, who, sizeof(who));
  if (seconds > 0) snprintf(fate, sizeof(fate), "which is in quarantine for %d s", seconds);
  Log(LOG_ERR, "ERROR ( %s/core ): reuseport: has decoded the same %s of %s for %lld s and does not come to an end: a fault of the decoder. "
               "Ending by SIGABRT; the exporter, %s, can be released by 'reuseportctl override delete %s'.\n",
      config.name, reader->datagram ? "datagram" : "message", who, busy_ms / 1000, fate, who);
  signal(SIGABRT, SIG_DFL);
  abort();
}

/* Returns: whether another instance reads in a bucket of this listener. */
static int another_reads(const struct rp_member *member, long long now)
{
  struct rp_bucket bucket;
  __u32 index;

  for (index = 0; index < RP_MAX_BUCKETS; index++)
    if (index != reuseport_config.index && now - (long long) health.all[index].reads < PEER_READ_MS && !rp_read_bucket(member, index, &bucket) &&
        bucket.cookie && bucket.state == RP_READY)
      return TRUE;

  return FALSE;
}

int reuseport_others_can_serve()
{
  long long now = reuseport_now_ms();
  int id;

  if (!health.own) return FALSE;
  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (listeners[id].phase == LISTENER_JOINED &&
        (!rp_fails_over(&listeners[id].member) || !another_reads(&listeners[id].member, now)))
      return FALSE;

  return TRUE;
}

static void leave_stuck(long long busy_ms)
{
  if (reuseport_has_fault(RP_STUCK)) return;

  reuseport_give_up_buckets();
  reuseport_note_fault(RP_STUCK, 0, NULL);
  Log(LOG_WARNING, "WARN ( %s/core ): reuseport: has not read for %lld s, while datagrams wait: a plugin, a disk or the log may not take what it "
                   "writes. Its exporters are with other instances; it leaves when it wakes up.\n",
      config.name, busy_ms / 1000);
}

/* Returns: whether the instance is in its bucket, which another may be, too, before this one joins, and after it was replaced. */
static int owns_record()
{
  return listeners[reuseport_main_listener()].phase == LISTENER_JOINED && health.own->pid == health.pid;
}

/* Returns: whether something waits for the main thread. What comes from sessions cannot be asked. */
static int has_work()
{
  return !reuseport_is_udp(reuseport_main_listener()) || reuseport_any_inherited_queued() || reuseport_any_queued();
}

static void watch_workers(long long now)
{
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++) {
    struct reader *reader = &readers[id];
    long long busy_ms;

    if (!reader->works) continue;
    busy_ms = busy_for(reader, id, now);
    if (busy_ms < patience(reader, id) || health.ends) continue;

    if (cpu_ms(reader) - reader->cpu_ms >= patience(reader, id) / LOOP_PART) end_loop(reader, busy_ms);
    /* not for a thread of sessions: the flows do not wait for it */
    if (id == (int) reuseport_main_listener() && !reuseport_is_draining() && has_work() && reuseport_others_can_serve()) leave_stuck(busy_ms);
  }
}

void reuseport_note_round()
{
  if (health.own && owns_record()) health.own->alive = health.own->reads = reuseport_now_ms();
}

/* ---- other instances ---- */

/* member: only read; its error line and its lock belong to another thread. Returns: whether there was such a socket. */
static int evict_from(const struct rp_member *member, __u32 index, __u32 its_pid)
{
  struct rp_member copy = *member;

  copy.lock = -1;

  return rp_evict(&copy, index, its_pid) > 0;
}

/* Empties the buckets of an instance whose watch does not look any more. Not without failover: its exporters would be refused, other than
   queue until it goes on, or the next one of that index inherits its sockets. */
static void evict(__u32 index)
{
  struct rp_instance *other = &health.all[index];
  struct rp_bucket bucket;
  int id, evicted = 0;

  /* the record is of that instance: not of one before it, whose pid it has again, as in a container, and that has not come so far yet */
  if (rp_read_bucket(health.member, index, &bucket) || !bucket.cookie || bucket.pid != other->pid) return;
  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (listeners[id].phase == LISTENER_JOINED && rp_fails_over(&listeners[id].member) && evict_from(&listeners[id].member, index, other->pid)) evicted++;
  if (!evicted) return;

  other->signal = 0;
  memset(other->accused, 0, sizeof(other->accused));
  other->fault_at = rp_boot_seconds();
  other->fault_pid = other->pid;
  other->fault = RP_STOPPED;
  other->faults[RP_STOPPED]++;
  other->reported = TRUE;
  Log(LOG_WARNING, "WARN ( %s/core ): reuseport: index %u, pid %u, has not run for more than %d s, as if stopped by SIGSTOP or a debugger: its "
                   "buckets are emptied, and its exporters go to other instances.\n",
      config.name, index, other->pid, REUSEPORT_STUCK_MS / 1000);
}

static void watch_others(long long now)
{
  __u32 index;

  for (index = 0; index < RP_MAX_BUCKETS; index++) {
    struct rp_instance *other = &health.all[index];

    if (index == reuseport_config.index) continue;
    if (other->alive && now - (long long) other->alive > REUSEPORT_STUCK_MS) evict(index);
    reuseport_report_crash(index);
  }
}

/* ---- both ---- */

static void tidy_group()
{
  struct rp_member copy = *health.member;

  copy.lock = -1;
  rp_tidy_quarantine(&copy);
  rp_tidy_watch(&copy);
}

static void *watch(void *unused)
{
  long long now, before, next_second = 0, grace_until = 0;

  (void) unused;
  for (before = reuseport_now_ms();; before = now) {
    reuseport_sleep_ms(WATCH_MS);
    now = reuseport_now_ms();
    if (owns_record()) health.own->alive = now;
    /* the machine, or this process, has been stopped: others will say that they are alive */
    if (now - before > REUSEPORT_STUCK_MS / 2) grace_until = now + REUSEPORT_STUCK_MS;
    watch_workers(now);
    if (now < next_second) continue;

    next_second = now + 1000;
    reuseport_step_back_if_stuck(REUSEPORT_STUCK_MS);
    tidy_group();
    /* not while plugins are forked: they would inherit the lock of a log line */
    if (now >= grace_until && reuseport_is_reading()) watch_others(now);
  }

  return NULL;
}

void reuseport_start_watch(enum reuseport_listener id)
{
  int err;

  if (id != reuseport_main_listener() || !reuseport_open_record(&listeners[id].member)) return;

  err = reuseport_start_thread(watch, NULL);
  if (err)
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: cannot start a thread (%s): a hang of this instance is not noticed. Raise the limit of "
                     "threads (ulimit -u, TasksMax).\n",
        config.name, strerror(err));
}
