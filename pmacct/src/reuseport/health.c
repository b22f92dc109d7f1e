/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* What becomes of an instance that crashes, hangs or does not run: see health.h. */
#include "pmacct.h"
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/faults.h"
#include "reuseport/health.h"
#include "reuseport/in_hand.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"
#include "reuseport/state_pages.h"

struct health health;

static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};

#define SIGNALS (int) (sizeof(fatal_signals) / sizeof(fatal_signals[0]))

/* ---- giving up; for signal handlers, too ---- */

void reuseport_give_up_buckets()
{
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (listeners[id].phase == LISTENER_JOINED) rp_give_up_bucket(&listeners[id].member);
}

void reuseport_note_fault(enum rp_fault fault, int signal, const union rp_addr *exporter)
{
  memset(health.own->accused, 0, sizeof(health.own->accused));
  if (exporter) memcpy(health.own->accused, exporter->b, sizeof(health.own->accused));
  health.own->signal = signal;
  health.own->fault_pid = health.pid;
  health.own->fault_at = rp_boot_seconds();
  health.own->fault = fault;
  health.own->faults[fault]++;
  __atomic_store_n(&health.own->reported, FALSE, __ATOMIC_RELEASE);
}

int reuseport_convict(const union rp_addr *exporter, int signal)
{
  /* what it told earlier would come again after the quarantine */
  if (reuseport_replays()) rp_pages_delete(health.member->fds[RP_STATE], exporter);

  return reuseport_config.no_quarantine ? 0 : rp_convict(health.member, exporter, signal, reuseport_config.index);
}

/* Whether this thread loads maps, because a signal has asked for it: upstream does so with a datagram in hand. */
static int loads_maps()
{
  return reuseport_own_reader() == &readers[reuseport_main_listener()] && reuseport_reloads_maps();
}

static void on_fatal_signal(int signum, siginfo_t *info, void *context)
{
  static volatile sig_atomic_t entered;
  union rp_addr exporter;
  /* Not by kill(2) of another process: whatever is in hand then has not caused it. */
  int genuine = info->si_code > 0 || info->si_pid == getpid(), accused;

  (void) context;
  if (!entered) {
    entered = TRUE;
    accused = genuine && !loads_maps() && reuseport_read_in_hand(reuseport_own_reader(), &exporter);
    if (accused) reuseport_convict(&exporter, signum);
    reuseport_give_up_buckets();
    reuseport_note_fault(RP_CRASHED, signum, accused ? &exporter : NULL);
  }
  /* the first process of a container would survive a signal that another one has sent */
  if (!genuine && getpid() == 1) _exit(128 + signum);
  /* the default action is in force again (SA_RESETHAND): it takes place when this handler returns */
  raise(signum);
}

static void catch_fatal_signals()
{
  struct sigaction action = {.sa_sigaction = on_fatal_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND};
  int i;

  sigemptyset(&action.sa_mask);
  for (i = 0; i < SIGNALS; i++) sigaction(fatal_signals[i], &action, NULL);
}

void reuseport_release_signals()
{
  int i;

  if (!health.own) return;
  for (i = 0; i < SIGNALS; i++) signal(fatal_signals[i], SIG_DFL);
}

void reuseport_report_crash(__u32 index)
{
  struct rp_instance *it = &health.all[index];
  char who[INET6_ADDRSTRLEN] = "nobody";
  union rp_addr exporter;

  if (it->fault != RP_CRASHED || __atomic_exchange_n(&it->reported, TRUE, __ATOMIC_ACQ_REL)) return;

  memcpy(exporter.b, it->accused, sizeof(exporter.b));
  if (exporter.q[0] || exporter.q[1]) rp_format_addr(&exporter, who, sizeof(who));
  Log(LOG_WARNING, "WARN ( %s/core ): reuseport: index %u, pid %u, ended by signal %u (%s) and had data of %s in hand: see its log, and "
                   "'reuseportctl status'.\n",
      config.name, index, it->fault_pid, it->signal, strsignal(it->signal), who);
}

/* ---- the record of this instance ---- */

void reuseport_tell_alive()
{
  if (!health.own) return;
  health.own->pid = health.pid;
  health.own->alive = health.own->reads = reuseport_now_ms();
}

int reuseport_has_fault(enum rp_fault fault)
{
  return health.own && health.own->fault == fault && health.own->fault_pid == health.pid && health.own->fault_at >= health.began;
}

void reuseport_count_disallowed()
{
  /* what an exporter told earlier comes before the datagram that counts */
  if (health.own && !reuseport_replays()) health.own->disallowed++;
}

int reuseport_open_record(const struct rp_member *member)
{
  struct rp_instance *mapped;

  if (member->fds[RP_INSTANCES] < 0) return FALSE;

  mapped = rp_map_instances(member);
  if (!mapped) {
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: cannot map '%s' of %s into memory (%s): a crash or a hang of this instance is noticed late, and "
                     "no exporter is put into quarantine. Use the reuseport.o that belongs to this daemon.\n",
        config.name, RP_MAP_INSTANCES, reuseport_config.pin_path, strerror(errno));
    return FALSE;
  }
  health.member = member;
  health.pid = getpid();
  health.began = rp_boot_seconds();
  health.all = mapped;
  health.own = &health.all[reuseport_config.index];
  /* of the instance before */
  reuseport_report_crash(reuseport_config.index);
  health.own->disallowed = 0;
  catch_fatal_signals();

  return TRUE;
}

void reuseport_stop_watch()
{
  health.ends = TRUE;
  if (health.own && health.own->pid == health.pid) health.own->alive = 0;
}
