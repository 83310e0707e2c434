/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a box. Its foreground is a process: init, or, where box.json has a command, that one beside it
 * (container.c).
 *
 *     PREPARING -> BOOTING   [prepare]        boxlet-vmm (and passt) were started
 *     BOOTING   -> BOOTED    [guest_booted]   the agent has carried out the boot request
 *     BOOTED    -> ASKED     [try_start]      init is wanted: at once, or with --hold when a client says so
 *     ASKED     -> RUNNING   [container_started] (or BOOTING -> RUNNING: its answer may overtake the agent's)
 *     any of these -> HALTING [power_off]     the agent unmounts; only if it can and the disk is to be kept
 *     any of these -> KILLING [kill_machine]
 *     PREPARING, HALTING, KILLING -> DOWN [go_down] nothing runs; state.json is final; the lock is free
 *     the same                -> RESTING [rest]       by the restart policy: nothing runs; the lock is held
 *     RESTING   -> PREPARING [begin_again]    the time is over (backoff.c)
 *     RESTING   -> DOWN      [end_rest]       somebody wants it to end
 *
 * While it is RUNNING the machine may be paused (paused); whatever ends the box lets it go on first (wake).
 *
 * Beside it stands the outcome, which is decided once (settle_*) and told to the clients at once: the
 * foreground ended, or the box failed. Whatever decides it then powers the machine off; but where a command
 * ended, init first gets the stop signal and its time (container_exited).
 *
 * The file is long because the whole state machine is in it: whoever decides something here must see what
 * else can happen at that moment. What needs no state is elsewhere (verdict.c, remains.c, request.c).
 *
 * Invariants:
 * 1. Every wait for the guest has a deadline: booting and starting init (boot_timeout_ms each), stopping
 * and winding down (stop_timer), and unmounting or finding out why a connection ended (power_timer).
 * 2. A machine that ended without an outcome is judged only after all connections to the agent have been
 * read to their end: an EXIT may lie in them.
 * 3. After the lock was given up nothing in the box's folder is touched.
 * 4. A restart follows only where init has run since the start, and nobody wished the end (last_word).
 * 5. The request for init is sent once (asked), as soon as the agent is there and init is wanted: the agent
 * keeps it until the machine is set up, and does beforehand what it can.
 */
#include "monitor/box.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "monitor/backoff.h"
#include "monitor/client.h"
#include "monitor/config.h"
#include "monitor/console.h"
#include "monitor/container.h"
#include "monitor/disks.h"
#include "monitor/events.h"
#include "monitor/forward.h"
#include "monitor/guest.h"
#include "monitor/idle.h"
#include "monitor/health.h"
#include "monitor/logfile.h"
#include "monitor/machine.h"
#include "monitor/network.h"
#include "monitor/pidfile.h"
#include "monitor/remains.h"
#include "monitor/request.h"
#include "monitor/state.h"
#include "monitor/verdict.h"
#include "wire/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#define AGENT_PORT      1024
#define HALT_MS         30000 /* unmounting a disk that has much to write */
#define LEASH_HALT_MS   5000
#define SUSPECT_MS      3000  /* a panicking kernel needs a moment to say so and reset */
#define KILL_MS         10000 /* for init to be gone after SIGKILL */
#define LINGER_MS       10000 /* for a client that has not said what it wants */
#define CONSOLE_LINES   12
#define CONSOLE_TEXT    600
#define EXIT_BOX_FAILED 125

enum life {
        LIFE_PREPARING,
        LIFE_BOOTING,
        LIFE_BOOTED,
        LIFE_ASKED,
        LIFE_RUNNING,
        LIFE_HALTING,
        LIFE_KILLING,
        LIFE_RESTING,
        LIFE_DOWN
};
enum stop_step { STOP_NONE, STOP_SIGNALLED, STOP_KILLED };

struct box {
        struct loop *loop;
        struct box_plan plan;
        struct config config;
        struct state state;
        enum life life;
        bool settled; /* the outcome is decided */
        bool hold, asked, log_failed, draining, impatient, stop_asked;
        enum stop_step stop_step;
        bool paused, pause_wanted; /* the machine stands still; what it was told last */
        bool last_word;            /* no restart: somebody wished the end */
        bool ever_ran;             /* init has run since the box was started */
        int64_t running_ms;        /* by the clock, since when it runs; by the outcome, how long it ran */
        struct backoff backoff;
        struct frame_exit exit; /* the outcome, when it is one of the foreground */
        enum state_phase outcome;
        struct clients *clients;
        struct console *console;
        struct machine *machine;
        struct network *network;
        struct idle *idle; /* NULL: nobody asks */
        struct guest *guest;
        struct container *container;
        struct forwards *forwards;
        struct logfile *log;
        struct events *events;
        struct health *health; /* NULL: no checks */
        bool machine_down, booted;
        struct machine_end end;
        const char *given_up;                /* the stage to blame if a guest was silent for too long */
        char suspicion[ERROR_TEXT_MAX + 64]; /* why the box is suspected to be lost; "" while it is not */
        struct buffer input;                 /* that came before init runs */
        bool input_ended;
        uint16_t rows, columns;
        struct source *boot_timer, *stop_timer, *power_timer, *linger_timer, *rest_timer, *limit_timer;
        struct source *signals[3];
};

static void conclude(struct box *b);
static void end_rest(struct box *b);

static void save_state(struct box *b, bool final)
{
        struct error err = ERROR_INIT;
        if (state_write(&b->state, final, &err) < 0)
                log_error("%s", err.text);
}

static void warn(struct box *b, const char *text)
{
        log_warning("%s", text);
        state_warn(&b->state, text);
        if (b->life != LIFE_PREPARING)
                save_state(b, false);
}

/* Lets a paused machine go on: what comes next needs the guest. */
static void wake(struct box *b)
{
        if (b->pause_wanted && machine_pause(b->machine, false) < 0)
                log_warning("the machine cannot be told to go on");
        b->pause_wanted = false;
}

static void keep_health(struct box *b)
{
        json_t *health = health_json(b->health);
        if (health == NULL)
                return;
        json_decref(b->state.health);
        b->state.health = health;
}

static void health_checking(bool begins, void *data)
{
        struct box *b = data;
        if (begins)
                idle_check_begins(b->idle);
        else
                idle_check_ended(b->idle);
}

static void health_changed(const char *status, void *data)
{
        struct box *b = data;
        char action[48];
        keep_health(b);
        save_state(b, false);
        (void)snprintf(action, sizeof(action), "health_status: %s", status == NULL ? "" : status); /* fits */
        if (status != NULL)
                events_tell(b->events, action, NULL, NULL);
}

/* ---- the end of the machine ---- */

static void kill_machine(struct box *b)
{
        if (b->life >= LIFE_KILLING)
                return;
        b->life = LIFE_KILLING;
        (void)source_arm(b->power_timer, -1); /* disarming cannot fail */
        if (b->machine == NULL || b->machine_down)
                conclude(b);
        else
                machine_quit(b->machine);
}

static void power_off(struct box *b, int64_t patience_ms)
{
        if (b->life >= LIFE_HALTING)
                return;
        (void)source_arm(b->boot_timer, -1); /* disarming cannot fail */
        (void)source_arm(b->stop_timer, -1);
        b->suspicion[0] = '\0';
        wake(b);
        bool keeps = (b->config.disk != NULL && !b->config.auto_remove) || disks_writable(&b->config);
        if (b->machine_down || !b->booted || b->guest == NULL || !keeps || guest_shutdown(b->guest) < 0) {
                kill_machine(b);
                return;
        }
        b->life = LIFE_HALTING;
        (void)source_arm(b->power_timer, patience_ms); /* an armed timerfd cannot refuse */
}

/* ---- the outcome ---- */

/* How long the run was that ends now. */
static void stop_clock(struct box *b)
{
        b->running_ms = b->life == LIFE_RUNNING ? clock_monotonic_ms() - b->running_ms : 0;
}

static void settle(struct box *b, const struct frame_exit *status)
{
        b->settled = true;
        stop_clock(b);
        b->exit = *status;
        health_end(b->health);
        b->state.phase = STATE_EXITED;
        b->state.stage = NULL;
        b->state.exit_code = status->signal != 0 ? 128 + (status->signal & 127) : status->code;
        b->state.oom_killed = (status->flags & FRAME_EXIT_OUT_OF_MEM) != 0;
        if (b->state.oom_killed)
                events_tell(b->events, "oom", NULL, NULL);
        events_tell_number(b->events, "die", "exitCode", b->state.exit_code);
        clients_exited(b->clients, status);
}

static void settle_killed(struct box *b, int64_t patience_ms)
{
        const struct frame_exit status = {.signal = SIGKILL};
        if (b->settled)
                return;
        settle(b, &status);
        power_off(b, patience_ms);
}

/* ASCII only, so that every reader of state.json can show it. */
static void set_error_text(struct box *b, const struct error *err)
{
        memcpy(b->state.error, err->text, sizeof(b->state.error));
        for (char *p = b->state.error; *p != '\0'; p++) {
                if (*p & (char)0x80)
                        *p = '?';
        }
}

static void settle_failed(struct box *b, const char *stage, int exit_code, const struct error *err)
{
        if (b->settled)
                return;
        b->settled = true;
        stop_clock(b);
        health_end(b->health);
        b->state.phase = STATE_FAILED;
        b->state.exit_code = exit_code;
        b->state.stage = stage;
        set_error_text(b, err);
        events_tell_number(b->events, "die", "exitCode", exit_code);
        log_error("%s: %s", stage, err->text);
        struct error told = *err;
        memcpy(told.text, b->state.error, sizeof(told.text));
        clients_failed(b->clients, &told, stage, exit_code);
        power_off(b, HALT_MS);
}

/* As settle_failed(), with the end of the guest's console behind the message. */
static void settle_lost(struct box *b, const char *stage, const struct error *err)
{
        char tail[CONSOLE_TEXT];
        struct error told = *err;
        if (b->console != NULL) {
                console_drain(b->console);
                console_tail(b->console, CONSOLE_LINES, tail, sizeof(tail));
                size_t used = strlen(told.text);
                if (tail[0] != '\0')
                        (void)snprintf(told.text + used, sizeof(told.text) - used,
                                       "\nthe guest's console ended with:\n%s", tail); /* cut is fine */
        }
        settle_failed(b, stage, EXIT_BOX_FAILED, &told);
}

/* The machine has ended and nobody asked for it: says why, in words. */
static void judge(struct box *b)
{
        static const char *const when[] = {"before it was started", "before its agent had spoken",
                                           "before init was started", "while init was being started",
                                           "while the box was running"};
        char panic[200];
        struct error err = ERROR_INIT;
        console_drain(b->console);
        const struct verdict_facts facts = {
            .end = &b->end,
            .engine = b->config.engine,
            .moment = b->life <= LIFE_RUNNING ? when[b->life] : "while it was stopped",
            .panic = console_panic(b->console, panic, sizeof(panic)) ? panic : NULL,
            .suspicion = b->suspicion,
            .given_up = b->given_up,
            .agent_spoke = b->guest != NULL || b->booted,
        };
        const char *stage = verdict(&facts, &err);
        if (!facts.agent_spoke && b->config.template != NULL && machine_drop_template(b->config.template))
                (void)error_wrap(&err, "begin as a copy of a template (removed now: try again)");
        settle_lost(b, stage, &err);
}

static void suspect(struct box *b, const char *what, const struct error *err)
{
        if (b->settled || b->suspicion[0] != '\0')
                return;
        (void)snprintf(b->suspicion, sizeof(b->suspicion), "%s%s%s", what, err->code != 0 ? ": " : "",
                       err->code != 0 ? err->text : ""); /* cut is fine */
        (void)source_arm(b->power_timer, SUSPECT_MS);    /* an armed timerfd cannot refuse */
}

static void on_power_timer(struct source *s, void *data)
{
        struct box *b = data;
        struct error err = ERROR_INIT;
        (void)s;
        if (b->machine_down) { /* a connection that a dead boxlet-vmm had did not end */
                b->impatient = true;
                conclude(b);
        } else if (b->settled) {
                log_warning("the guest did not unmount its disk in time");
                kill_machine(b);
        } else {
                (void)error_set(&err, -EIO, "the guest is lost though its machine runs: %s", b->suspicion);
                settle_lost(b, "agent", &err);
        }
}

/* The machine is ended first: it then says whether its kernel had hung. */
static void on_boot_timer(struct source *s, void *data)
{
        struct box *b = data;
        (void)s;
        if (b->settled)
                return;
        const char *what = b->life == LIFE_ASKED ? "the guest's agent did not start init"
                           : b->guest == NULL    ? "the guest's agent did not speak"
                                                 : "the guest's agent did not finish booting";
        (void)snprintf(b->suspicion, sizeof(b->suspicion), "%s within %lld ms", what,
                       (long long)b->config.boot_timeout_ms); /* fits */
        b->given_up = b->guest == NULL ? "kernel" : "agent";
        kill_machine(b);
}

/* ---- the container ---- */

static void note_log_loss(struct box *b, int r)
{
        char text[128];
        if (r < 0 && !b->log_failed) {
                (void)snprintf(text, sizeof(text), "output was lost from the log: %s", strerror(-r));
                warn(b, text);
        }
        b->log_failed = r < 0;
}

static void send_input(struct box *b)
{
        while (b->input.length > 0) {
                size_t n = b->input.length < FRAME_STREAM_MAX ? b->input.length : FRAME_STREAM_MAX;
                if (container_send(b->container, FRAME_STDIN, buffer_content(&b->input), n) < 0)
                        log_warning("input was lost: too much of it waits");
                buffer_consume(&b->input, n);
        }
        if (b->input_ended)
                (void)container_send(b->container, FRAME_STDIN, NULL,
                                     0); /* an empty frame finds room, or the process is gone */
        buffer_done(&b->input);
}

static void send_size(struct box *b)
{
        struct frame_resize resize;
        frame_resize_make(b->rows, b->columns, &resize);
        (void)container_send(b->container, FRAME_RESIZE, &resize,
                             sizeof(resize)); /* as after a resize that was missed */
}

static void container_started(int64_t pid, void *data)
{
        struct box *b = data;
        if (b->life < LIFE_BOOTING || b->life > LIFE_ASKED)
                return;
        (void)source_arm(b->boot_timer, -1); /* disarming cannot fail */
        b->booted = true;
        b->life = LIFE_RUNNING;
        if (!b->ever_ran && b->config.stop_after_ms > 0)
                (void)source_arm(b->limit_timer,
                                 b->config.stop_after_ms);  /* an armed timerfd cannot refuse */
        idle_begin(b->idle, b->config.has_command ? 3 : 2); /* the agent's, init's, the command's */
        b->ever_ran = true;
        b->running_ms = clock_monotonic_ms();
        state_run(&b->state, pid);
        health_begin(b->health);
        keep_health(b);
        save_state(b, false);
        events_tell(b->events, "start", NULL, NULL);
        if (b->config.terminal && b->rows > 0)
                send_size(b);
        send_input(b);
        clients_started(b->clients, pid);
        forwards_open(b->forwards);
        clients_resume_input(b->clients);
        config_drop_spec(&b->config);
        (void)malloc_trim(0);
}

static void container_failed(const struct error *err, int exit_code, void *data)
{
        settle_failed(data, "container", exit_code, err);
}

static void container_output(unsigned stream, bool foreground, const void *bytes, size_t size, void *data)
{
        struct box *b = data;
        idle_touch(b->idle);
        note_log_loss(b,
                      size > 0 ? logfile_write(b->log, stream, bytes, size) : logfile_finish(b->log, stream));
        if (foreground)
                clients_output(b->clients, (stream & LOGFILE_STDERR) != 0, bytes, size);
}

static void container_exited(const struct frame_exit *status, void *data)
{
        struct box *b = data;
        for (unsigned stream = 0; stream < LOGFILE_STREAMS; stream++)
                note_log_loss(b, logfile_finish(b->log, stream));
        if (b->settled)
                return;
        settle(b, status);
        if (!container_wind_down(b->container, (int)b->config.stop_signal))
                power_off(b, HALT_MS);
        else if (b->stop_step == STOP_NONE) /* else the time runs already */
                (void)source_arm(b->stop_timer,
                                 b->config.stop_timeout_ms); /* an armed timerfd cannot refuse */
}

static void container_wound_down(void *data)
{
        power_off(data, HALT_MS);
}

static void container_drained(void *data)
{
        struct box *b = data;
        clients_resume_input(b->clients);
}

static void container_lost(const char *what, const struct error *err, void *data)
{
        suspect(data, what, err);
}

static void container_gone(void *data)
{
        struct box *b = data;
        container_free(b->container);
        b->container = NULL;
        if (b->machine_down)
                conclude(b);
}

static const struct container_ops container_ops = {container_started, container_failed,     container_output,
                                                   container_exited,  container_wound_down, container_drained,
                                                   container_lost,    container_gone};

static void ask_for_container(struct box *b)
{
        struct error err = ERROR_INIT;
        b->asked = true;
        if (container_new(b->loop, b->plan.box_fd, &b->config, b->rows, b->columns, &container_ops, b,
                          &b->container, &err) < 0)
                settle_failed(b, "container", EXIT_BOX_FAILED, &err);
}

static void try_start(struct box *b)
{
        bool there = b->life == LIFE_BOOTED || (b->life == LIFE_BOOTING && b->guest != NULL);
        if (!there || b->hold)
                return;
        if (!b->asked)
                ask_for_container(b);
        if (b->life != LIFE_BOOTED)
                return;
        b->life = LIFE_ASKED;
        (void)source_arm(b->boot_timer, b->config.boot_timeout_ms); /* an armed timerfd cannot refuse */
}

/* ---- the agent ---- */

static void guest_booted(struct guest *guest, void *data)
{
        struct box *b = data;
        (void)guest;
        if (b->life != LIFE_BOOTING)
                return;
        (void)source_arm(b->boot_timer, -1); /* disarming cannot fail */
        b->booted = true;
        b->life = LIFE_BOOTED;
        try_start(b);
}

static void guest_failed(struct guest *guest, const char *stage, const struct error *err, void *data)
{
        struct box *b = data;
        (void)guest;
        settle_lost(b, stage, err);
}

static void guest_halted(struct guest *guest, void *data)
{
        struct box *b = data;
        (void)guest;
        if (b->life == LIFE_HALTING)
                kill_machine(b);
}

static void guest_gone(struct guest *guest, const struct error *err, void *data)
{
        struct box *b = data;
        guest_free(guest);
        b->guest = NULL;
        suspect(b, "the agent's control connection ended", err);
        if (b->machine_down)
                conclude(b);
}

static const struct guest_ops guest_ops = {guest_booted, guest_failed, guest_halted, guest_gone};

static void boot(struct box *b, int fd)
{
        struct request_network network = {0};
        struct error err = ERROR_INIT;
        if (b->network != NULL && network_is_up(b->network))
                network_describe(b->network, &network);
        cleanup_json json_t *request = request_boot(&b->config, &network);
        int r = -ENOMEM;
        if (request == NULL)
                (void)close(fd); /* a socket of the guest's */
        else
                r = guest_new(b->loop, fd, request, &guest_ops, b, &b->guest);
        if (r < 0) {
                (void)error_errno(&err, r, "talk to the guest's agent");
                settle_failed(b, "agent", EXIT_BOX_FAILED, &err);
                return;
        }
        try_start(b);
}

/* ---- the machine ---- */

static void machine_connection(struct machine *machine, unsigned port, int fd, void *data)
{
        struct box *b = data;
        (void)machine;
        if (port == AGENT_PORT && b->life == LIFE_BOOTING && b->guest == NULL && !b->settled)
                boot(b, fd);
        else
                (void)close(fd); /* nobody listens there */
}

static void machine_is_down(struct machine *machine, const struct machine_end *end, void *data)
{
        struct box *b = data;
        (void)machine;
        b->machine_down = true;
        b->end = *end;
        log_info("the machine has ended: %s %s", end->reason, end->detail);
        if (b->settled && strcmp(end->reason, "guest-hung") == 0)
                warn(b, "the guest's kernel had hung when it was stopped; monitor.log says where");
        if (b->guest != NULL || b->container != NULL)
                (void)source_arm(b->power_timer, SUSPECT_MS); /* an armed timerfd cannot refuse */
        conclude(b);
}

static void machine_paused(struct machine *machine, bool paused, void *data)
{
        struct box *b = data;
        (void)machine;
        if (b->settled || b->life != LIFE_RUNNING)
                return;
        b->paused = paused;
        idle_paused(b->idle, paused);
        if (b->state.phase == STATE_RUNNING || b->state.phase == STATE_PAUSED) {
                b->state.phase = paused ? STATE_PAUSED : STATE_RUNNING;
                save_state(b, false);
        }
        if (paused)
                health_end(b->health);
        else
                health_resume(b->health);
        events_tell(b->events, paused ? "pause" : "unpause", NULL, NULL);
        clients_paused(b->clients, paused);
}

static void machine_connections(struct machine *machine, int64_t count, void *data)
{
        struct box *b = data;
        (void)machine;
        idle_connections(b->idle, count);
}

static void machine_jail_lacks(struct machine *machine, const char *words, void *data)
{
        struct box *b = data;
        (void)machine;
        (void)snprintf(b->state.jail_lacks, sizeof(b->state.jail_lacks), "%s", words); /* cut is fine */
        save_state(b, false);
}

static const struct machine_ops machine_ops = {machine_connection, machine_paused, machine_connections,
                                               machine_jail_lacks, machine_is_down};

static void network_died(struct network *network, bool no_uplink, const char *reason, void *data)
{
        struct box *b = data;
        struct error err = ERROR_INIT;
        char text[512];
        (void)network;
        if (b->settled)
                return;
        if (b->guest == NULL && !no_uplink) {
                (void)error_set(&err, -EIO, "start the network: passt ended: %s", reason);
                settle_failed(b, "network", EXIT_BOX_FAILED, &err);
                return;
        }
        (void)snprintf(text, sizeof(text), "the box has no network%s: passt ended: %s",
                       b->guest == NULL ? "" : " any more", reason); /* cut is fine */
        warn(b, text);
}

static void network_passed(void *data)
{
        struct box *b = data;
        idle_touch(b->idle);
}

static const struct network_ops network_ops = {network_died, network_passed};

/* ---- what clients ask for ---- */

static void drain(struct box *b)
{
        b->draining = true; /* an EXIT may lie behind output that waits for a slow client */
        if (b->container != NULL)
                container_pause(b->container, false);
}

static int send_signal(struct box *b, int number)
{
        struct frame_signal signal;
        frame_signal_make(number, &signal);
        return b->container == NULL ? -ESRCH
                                    : container_send(b->container, FRAME_SIGNAL, &signal, sizeof(signal));
}

static void stop_with_kill(struct box *b)
{
        wake(b);
        b->stop_step = STOP_KILLED;
        events_tell_number(b->events, "kill", "signal", SIGKILL);
        if (b->container != NULL)
                (void)container_kill(b->container); /* if it does not arrive, the timer ends the machine */
        (void)source_arm(b->stop_timer, KILL_MS);   /* an armed timerfd cannot refuse */
        drain(b);
}

static void on_stop_timer(struct source *s, void *data)
{
        struct box *b = data;
        (void)s;
        if (b->settled) {
                power_off(b, HALT_MS); /* init took too long to wind down */
                return;
        }
        if (b->stop_step == STOP_SIGNALLED) {
                stop_with_kill(b);
                return;
        }
        log_warning("init did not end by SIGKILL in time: the machine is ended");
        b->booted = false; /* its agent is not to be waited for */
        settle_killed(b, 0);
}

static void settle_before_start(struct box *b, int signal)
{
        struct error err = ERROR_INIT;
        b->last_word = true;
        (void)error_set(&err, -ECANCELED, "the box was ended (signal %d) before its command ran", signal);
        settle_failed(b, "container", 128 + signal, &err);
}

/* The box ends for good. */
static void stop(struct box *b, int64_t timeout_ms)
{
        b->last_word = true;
        if (b->life == LIFE_RESTING) {
                b->stop_asked = true;
                end_rest(b);
        }
        if (b->settled)
                return;
        b->stop_asked = true;
        if (b->life != LIFE_RUNNING) {
                settle_before_start(b, (int)(b->life == LIFE_PREPARING ? SIGTERM : b->config.stop_signal));
                return;
        }
        if (timeout_ms < 0)
                timeout_ms = b->config.stop_timeout_ms;
        if (b->stop_step == STOP_KILLED)
                return;
        if (timeout_ms == 0 || b->config.stop_signal == SIGKILL) {
                stop_with_kill(b);
                return;
        }
        wake(b);
        if (b->stop_step == STOP_NONE) {
                b->state.phase = STATE_STOPPING;
                save_state(b, false);
        }
        b->stop_step = STOP_SIGNALLED;
        events_tell_number(b->events, "kill", "signal", b->config.stop_signal);
        (void)send_signal(b, (int)b->config.stop_signal); /* if it does not arrive, the timer goes on */
        (void)source_arm(b->stop_timer, timeout_ms);      /* an armed timerfd cannot refuse */
        drain(b);
}

static void stop_wanted(int64_t timeout_ms, bool wish, void *data)
{
        struct box *b = data;
        b->state.stopped = b->state.stopped || wish;
        stop(b, timeout_ms);
}

/* Signals by which people end a program: what they end is not started again. */
static bool is_wish_to_end(const struct box *b, int signal)
{
        return signal == SIGKILL || signal == SIGTERM || signal == SIGINT || signal == SIGQUIT ||
               signal == (int)b->config.stop_signal;
}

static int kill_init(int signal, struct error *err, void *data)
{
        struct box *b = data;
        bool wish = is_wish_to_end(b, signal);
        if (b->life == LIFE_RESTING && !wish)
                return error_set(err, -ESRCH,
                                 "send a signal: the box's command has ended, and is to restart");
        if (wish)
                b->last_word = b->state.stopped = true;
        if (b->life == LIFE_RESTING) {
                end_rest(b);
                return 0;
        }
        if (b->settled)
                return error_set(err, -ESRCH, "send a signal: the box's command has ended");
        if (b->life == LIFE_RUNNING) {
                if (wish)
                        wake(b);
                int r = signal == SIGKILL ? 0 : send_signal(b, signal);
                if (signal == SIGKILL)
                        stop_with_kill(b);
                else if (r == 0)
                        events_tell_number(b->events, "kill", "signal", signal);
                return r < 0 ? error_errno(err, r, "send a signal") : 0;
        }
        if (signal == SIGKILL || signal == SIGTERM || signal == SIGINT || signal == SIGHUP ||
            signal == SIGQUIT) {
                settle_before_start(b, signal);
                return 0;
        }
        return error_set(err, -ESRCH, "send a signal: the box's command does not run yet");
}

static void unleashed(void *data)
{
        struct box *b = data;
        if (b->settled)
                return;
        b->last_word = true;
        log_info("the caller has gone: the box ends");
        settle_killed(b, LEASH_HALT_MS);
}

static void start_wanted(void *data)
{
        struct box *b = data;
        b->hold = false;
        try_start(b);
}

static json_t *status(void *data)
{
        const struct box *b = data;
        json_t *json =
            json_pack("{s:s}", "state", state_phase_name(b->settled ? STATE_STOPPING : b->state.phase));
        if (json != NULL && b->state.pid != 0)
                (void)json_object_set_new(json, "pid", json_integer(b->state.pid));
        if (json != NULL && b->state.started_ns != 0)
                (void)json_object_set_new(json, "started_ns", json_integer(b->state.started_ns));
        return json;
}

static int pause_wanted(bool paused, struct error *err, void *data)
{
        struct box *b = data;
        if (b->life != LIFE_RUNNING || b->settled)
                return error_set(err, -ESRCH, "it is not running");
        if (b->stop_step != STOP_NONE)
                return error_set(err, -EBUSY, "it is being stopped");
        if (b->pause_wanted == paused)
                return error_set(err, -EALREADY, paused ? "it is paused already" : "it is not paused");
        int r = machine_pause(b->machine, paused);
        if (r < 0)
                return error_errno(err, r, "tell the machine");
        b->pause_wanted = paused;
        return 0;
}

/* What box.json says is laid down at a start; this is what may change later. */
static int update(const json_t *request, struct error *err, void *data)
{
        struct box *b = data;
        struct restart_policy restart = b->config.restart;
        int64_t cpus = b->config.cpus, memory_bytes = b->config.memory_bytes;
        const char *name;
        int r = json_get_string_or(request, "name", NULL, &name, err);
        if (r == 0 && json_object_get(request, "restart") != NULL)
                r = restart_read(json_object_get(request, "restart"), &restart, err);
        if (r == 0)
                r = json_get_integer_or(request, "cpus", 1, 1024, cpus, &cpus, err);
        if (r == 0)
                r = json_get_integer_or(request, "memory_bytes", 16LL << 20, 1LL << 50, memory_bytes,
                                        &memory_bytes, err);
        if (r == 0 && b->config.auto_remove && restart.kind != RESTART_NO)
                r = error_set(err, -EINVAL, "a box that is removed when it has ended cannot be restarted");
        if (r < 0)
                return r;
        if (name != NULL)
                events_rename(b->events, name);
        b->config.restart = restart;
        if (cpus != b->config.cpus || memory_bytes != b->config.memory_bytes)
                b->config.template = NULL; /* it is of the old size: the next machine boots */
        b->config.cpus = cpus;             /* of the next machine */
        b->config.memory_bytes = memory_bytes;
        if (b->life == LIFE_RESTING && restart.kind == RESTART_NO)
                end_rest(b);
        return 0;
}

static void input(const void *bytes, size_t size, void *data)
{
        struct box *b = data;
        int r = 0;
        if (b->settled || !b->config.stdin_open || b->input_ended)
                return;
        idle_touch(b->idle);
        if (b->life == LIFE_RUNNING && b->container != NULL)
                r = container_send(b->container, FRAME_STDIN, bytes, size);
        else if (size > 0)
                r = buffer_append(&b->input, bytes, size);
        if (size == 0)
                b->input_ended = true;
        if (r < 0)
                log_warning("input was lost: %s", strerror(-r));
}

static bool input_is_full(void *data)
{
        const struct box *b = data;
        if (b->settled)
                return false;
        return b->life == LIFE_RUNNING && b->container != NULL ? container_is_full(b->container)
                                                               : b->input.length > CHANNEL_HIGH_WATER;
}

static void resize(uint16_t rows, uint16_t columns, void *data)
{
        struct box *b = data;
        b->rows = rows;
        b->columns = columns;
        if (b->life == LIFE_RUNNING && b->container != NULL && b->config.terminal)
                send_size(b);
}

static void block_output(bool blocked, void *data)
{
        struct box *b = data;
        if (b->container != NULL)
                container_pause(b->container, blocked && !b->draining);
}

static void attached(int64_t count, void *data)
{
        struct box *b = data;
        idle_attached(b->idle, count);
}

static void nobody_is_left(void *data)
{
        struct box *b = data;
        loop_quit(b->loop, 0);
}

static const struct clients_ops clients_ops = {
    .start = start_wanted,
    .stop = stop_wanted,
    .kill = kill_init,
    .unleashed = unleashed,
    .status = status,
    .pause = pause_wanted,
    .update = update,
    .input = input,
    .input_is_full = input_is_full,
    .resize = resize,
    .block_output = block_output,
    .attached = attached,
    .idle = nobody_is_left,
};

static void on_signal(struct source *s, int signal, pid_t sender, void *data)
{
        struct box *b = data;
        (void)s;
        log_info("signal %d from process %d", signal, (int)sender);
        b->last_word = true;
        if (b->life == LIFE_RESTING)
                end_rest(b);
        else if (b->settled)
                kill_machine(b); /* asked twice: no more waiting for the guest */
        else if (b->stop_step == STOP_SIGNALLED)
                stop_with_kill(b);
        else
                stop(b, -1);
}

/* ---- limits ---- */

/* The box was made to be stopped now, so it does not come back by itself. */
static void stop_by_limit(struct box *b, const char *text)
{
        warn(b, text);
        b->state.stopped = true;
        stop(b, -1);
}

static void on_limit_timer(struct source *s, void *data)
{
        struct box *b = data;
        (void)s;
        if (!b->last_word)
                stop_by_limit(b, "the box was stopped: it has run for as long as --stop-after says");
}

static void on_idle(void *data)
{
        struct box *b = data;
        if (b->life == LIFE_RUNNING && !b->settled && !b->last_word)
                stop_by_limit(b, "the box was stopped: it has been idle for as long as --idle-stop says");
}

/* ---- the end ---- */

/* What one run of the machine has. */
static void release_run(struct box *b)
{
        idle_end(b->idle);
        forwards_shut(b->forwards);
        network_free(b->network);
        b->network = NULL;
        container_free(b->container);
        b->container = NULL;
        guest_free(b->guest);
        b->guest = NULL;
        machine_free(b->machine);
        b->machine = NULL;
        remains_reap();
        if (b->console != NULL)
                console_drain(b->console);
        console_free(b->console);
        b->console = NULL;
        (void)unlinkat(b->plan.box_fd, "vsock.sock", 0); /* it may never have been made */
}

static void release(struct box *b)
{
        health_free(b->health);
        b->health = NULL;
        release_run(b);
        forwards_free(b->forwards);
        b->forwards = NULL;
        disks_release(&b->config);
        logfile_free(b->log);
        b->log = NULL;
}

static void go_down(struct box *b)
{
        b->life = LIFE_DOWN;
        (void)source_arm(b->limit_timer, -1); /* disarming cannot fail */
        clients_close_door(b->clients, b->plan.box_fd);
        release(b);
        pidfile_remove(b->config.pid_file);
        int r = b->config.auto_remove ? remains_remove_folder(b->plan.box_fd, b->config.id) : 0;
        if (r < 0)
                log_error("remove the box's folder: %s", strerror(-r));
        if (r < 0 || !b->config.auto_remove)
                save_state(b, true);
        if (b->stop_asked)
                events_tell(b->events, "stop", NULL, NULL);
        if (r == 0 && b->config.auto_remove)
                events_tell(b->events, "destroy", NULL, NULL);
        (void)flock(b->plan.lock_fd, LOCK_UN); /* the box is down, though clients may still be reading */
        (void)source_arm(b->linger_timer, LINGER_MS); /* an armed timerfd cannot refuse */
        clients_down(b->clients);
}

/* Below 0: the box stays down. */
static int64_t decide_restart(struct box *b)
{
        if (b->last_word || !b->ever_ran)
                return -1;
        return backoff_next(&b->backoff, &b->config.restart, b->state.exit_code, b->running_ms);
}

static void rest(struct box *b, int64_t delay_ms)
{
        log_info("the box ended with code %d; restart %lld follows in %lld ms", b->state.exit_code,
                 (long long)b->backoff.restarts, (long long)delay_ms);
        b->life = LIFE_RESTING;
        (void)source_arm(b->boot_timer, -1); /* disarming cannot fail */
        (void)source_arm(b->stop_timer, -1);
        (void)source_arm(b->power_timer, -1);
        release_run(b);
        b->outcome = b->state.phase;
        b->state.phase = STATE_RESTARTING;
        b->state.restarts = b->backoff.restarts;
        save_state(b, false);
        clients_turn_over(b->clients);
        (void)source_arm(b->rest_timer, delay_ms); /* an armed timerfd cannot refuse */
}

/* Instead of the restart: the box is down, with the outcome it had. */
static void end_rest(struct box *b)
{
        (void)source_arm(b->rest_timer, -1); /* disarming cannot fail */
        b->state.phase = b->outcome;
        b->state.restarts--;
        if (b->outcome == STATE_EXITED) {
                clients_exited(b->clients, &b->exit);
        } else {
                struct error err = ERROR_INIT;
                (void)error_set(&err, -EIO, "%s", b->state.error);
                clients_failed(b->clients, &err, b->state.stage, b->state.exit_code);
        }
        go_down(b);
}

static void conclude(struct box *b)
{
        if (b->life >= LIFE_RESTING)
                return;
        bool connected = b->guest != NULL || b->container != NULL;
        if (!b->settled && connected && !b->impatient)
                return; /* their end follows: invariant 2 */
        if (!b->settled)
                judge(b); /* comes back here through kill_machine() */
        if (b->life >= LIFE_RESTING)
                return;
        b->state.finished_ns = clock_wall_ns();
        int64_t delay_ms = decide_restart(b);
        if (delay_ms < 0)
                go_down(b);
        else
                rest(b, delay_ms);
}

static void on_linger_timer(struct source *s, void *data)
{
        struct box *b = data;
        (void)s;
        clients_drop_silent(b->clients);
}

/* ---- the beginning ---- */

static int read_config(struct box *b, struct error *err)
{
        cleanup_free char *text = NULL;
        size_t size;
        int r = path_read_at(b->plan.box_fd, "box.json", CONFIG_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_errno(err, r, "read box.json");
        return config_parse(text, size, &b->config, err);
}

static int start_network(struct box *b, struct error *err)
{
        if (!b->config.has_network)
                return 0;
        int r = network_start(b->loop, &b->config, &network_ops, b, &b->network, err);
        if (r < 0)
                return r;
        if (b->network == NULL)
                warn(b, "the box has no network: this host has no route to anywhere");
        else
                b->state.ports = json_incref(network_ports(b->network));
        return 0;
}

static int start_machine(struct box *b, struct error *err)
{
        cleanup_fd int console_fd = -1;
        struct machine_plan plan = {.config = &b->config, .box_fd = b->plan.box_fd, .log_fd = b->plan.log_fd};
        int r = console_new(b->loop, b->plan.box_fd, &b->console, &console_fd, err);
        if (r < 0)
                return r;
        plan.console_fd = console_fd;
        plan.net_fd = b->network == NULL ? -1 : network_fd(b->network);
        if (b->network != NULL)
                (void)strncpy(plan.mac, network_mac(b->network), sizeof(plan.mac) - 1); /* 17 characters */
        r = machine_start(b->loop, &plan, &machine_ops, b, &b->machine, err);
        if (b->network != NULL)
                network_hand_over(b->network);
        if (r == 0 && b->idle != NULL && machine_watch(b->machine) < 0)
                log_warning("the machine cannot be asked for its connections");
        return r;
}

/* What all runs share. */
static int prepare_box(struct box *b, struct error *err)
{
        int r = clients_listen(b->clients, b->plan.box_fd, err);
        if (r == 0)
                r = read_config(b, err);
        if (r == 0 && b->config.idle_stop_ms > 0 &&
            idle_new(b->loop, b->config.idle_stop_ms, on_idle, b, &b->idle) < 0)
                r = error_set(err, -ENOMEM, "watch whether the box is idle: out of memory");
        if (r == 0)
                b->events = events_new(&b->config);
        if (r == 0)
                r = disks_adopt(&b->config, err);
        if (r == 0)
                r = forwards_new(b->loop, b->plan.box_fd, &b->config, &b->forwards, err);
        if (r == 0)
                r = logfile_new(b->plan.box_fd, b->config.log_maximum_bytes, b->config.log_files, &b->log,
                                err);
        if (r == 0 && b->config.health.args != NULL)
                r = health_new(b->loop, b->plan.box_fd, &b->config, health_changed, b, &b->health, err);
        if (r == 0 && b->idle != NULL)
                health_watch(b->health, health_checking);
        if (r == 0)
                r = pidfile_write(b->config.pid_file, err);
        return r;
}

/* Up to the running machine. On failure *ret_stage says where. */
static int prepare_run(struct box *b, const char **ret_stage, struct error *err)
{
        *ret_stage = "network";
        int r = start_network(b, err);
        if (r < 0)
                return r;
        *ret_stage = "machine";
        return start_machine(b, err);
}

static void begin_run(struct box *b)
{
        const char *stage;
        struct error err = ERROR_INIT;
        if (prepare_run(b, &stage, &err) < 0) {
                settle_failed(b, stage, EXIT_BOX_FAILED, &err);
                return;
        }
        save_state(b, false);
        b->life = LIFE_BOOTING;
        (void)source_arm(b->boot_timer, b->config.boot_timeout_ms); /* an armed timerfd cannot refuse */
        clients_ready(b->clients);
}

static int read_spec_again(struct box *b, struct error *err)
{
        cleanup_free char *text = NULL;
        size_t size;
        int r = path_read_at(b->plan.box_fd, "box.json", CONFIG_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_errno(err, r, "read box.json");
        return config_take_spec(&b->config, text, size, err);
}

static void forget_run(struct box *b)
{
        b->life = LIFE_PREPARING;
        b->settled = b->asked = b->log_failed = b->draining = b->impatient = false;
        b->machine_down = b->booted = b->input_ended = b->paused = b->pause_wanted = false;
        b->stop_step = STOP_NONE;
        b->suspicion[0] = '\0';
        b->end = (struct machine_end){0};
        b->running_ms = 0;
        buffer_done(&b->input);
        buffer_init(&b->input, CHANNEL_QUEUE_MAX);
        state_restart(&b->state);
}

static void begin_again(struct source *s, void *data)
{
        struct box *b = data;
        struct error err = ERROR_INIT;
        (void)s;
        forget_run(b);
        if (read_spec_again(b, &err) < 0)
                settle_failed(b, "machine", EXIT_BOX_FAILED, &err);
        else
                begin_run(b);
}

static int add_sources(struct box *b)
{
        static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
        int r = loop_add_timer(b->loop, on_boot_timer, b, &b->boot_timer);
        if (r == 0)
                r = loop_add_timer(b->loop, on_stop_timer, b, &b->stop_timer);
        if (r == 0)
                r = loop_add_timer(b->loop, on_power_timer, b, &b->power_timer);
        if (r == 0)
                r = loop_add_timer(b->loop, on_linger_timer, b, &b->linger_timer);
        if (r == 0)
                r = loop_add_timer(b->loop, begin_again, b, &b->rest_timer);
        if (r == 0)
                r = loop_add_timer(b->loop, on_limit_timer, b, &b->limit_timer);
        for (size_t i = 0; i < 3 && r == 0; i++)
                r = loop_add_signal(b->loop, signals[i], on_signal, b, &b->signals[i]);
        return r;
}

static int begin(struct box *b, struct error *err)
{
        int r = state_init(&b->state, b->plan.box_fd, err);
        if (r < 0)
                return r;
        r = add_sources(b);
        if (r == 0)
                r = clients_new(b->loop, &clients_ops, b, &b->clients);
        if (r == 0 && b->plan.client_fd >= 0)
                r = clients_adopt(b->clients, take_fd(&b->plan.client_fd), b->hold);
        if (r < 0)
                return error_errno(err, r, "begin");
        struct error why = ERROR_INIT;
        if (prepare_box(b, &why) < 0)
                settle_failed(b, "machine", EXIT_BOX_FAILED, &why);
        else
                begin_run(b);
        return 0;
}

int box_new(struct loop *loop, const struct box_plan *plan, struct box **ret_box, struct error *err)
{
        struct box *b = calloc(1, sizeof(*b));
        if (b == NULL)
                return error_set(err, -ENOMEM, "out of memory");
        b->loop = loop;
        b->plan = *plan;
        b->hold = plan->hold;
        buffer_init(&b->input, CHANNEL_QUEUE_MAX);
        int r = begin(b, err);
        if (r < 0) {
                box_free(b);
                return r;
        }
        *ret_box = b;
        return 0;
}

void box_free(struct box *b)
{
        if (b == NULL)
                return;
        release(b);
        clients_free(b->clients);
        close_fd(&b->plan.client_fd);
        source_free(b->boot_timer);
        source_free(b->stop_timer);
        source_free(b->power_timer);
        source_free(b->linger_timer);
        source_free(b->rest_timer);
        source_free(b->limit_timer);
        idle_free(b->idle);
        for (size_t i = 0; i < 3; i++)
                source_free(b->signals[i]);
        buffer_done(&b->input);
        state_done(&b->state);
        events_free(b->events);
        config_done(&b->config);
        free(b);
}
