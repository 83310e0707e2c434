/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In order: the guest's kernel said so itself (a panic); it had halted for good; it was silent for too long;
 * the guest reset without a word; the engine died; the engine never ran; boxlet-vmm died without a word.
 */
#include "monitor/verdict.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void blame_vmm(const struct machine_end *end, struct error *err)
{
        if (end->exit_code > 128)
                (void)error_set(err, -EIO, "boxlet-vmm was ended by signal %d (%s)", end->exit_code - 128,
                                strsignal(end->exit_code - 128));
        else
                (void)error_set(err, -EIO, "boxlet-vmm ended by itself with code %d; see monitor.log",
                                end->exit_code);
}

const char *verdict(const struct verdict_facts *f, struct error *err)
{
        const char *reason = f->end->reason, *detail = f->end->detail;
        if (f->panic != NULL) {
                (void)error_set(err, -EIO, "the guest's kernel panicked %s: %s", f->moment, f->panic);
                return "kernel";
        }
        if (strcmp(reason, "guest-hung") == 0) {
                (void)error_set(err, f->given_up != NULL ? -ETIMEDOUT : -EIO,
                                "%s%sthe guest's kernel hung: %s", f->suspicion,
                                f->suspicion[0] != '\0' ? "; " : "", detail);
                return "kernel";
        }
        if (f->given_up != NULL && (reason[0] == '\0' || strcmp(reason, "quit") == 0)) {
                (void)error_set(err, -ETIMEDOUT, "%s", f->suspicion);
                return f->given_up;
        }
        if (strcmp(reason, "guest-reset") == 0) {
                (void)error_set(err, -EIO, "the guest reset or powered off by itself %s%s%s", f->moment,
                                f->suspicion[0] != '\0' ? "; " : "", f->suspicion);
                return f->agent_spoke ? "agent" : "kernel";
        }
        if (strcmp(reason, "guest-crashed") == 0) {
                (void)error_set(err, -EIO, "the guest's kernel crashed %s: %s", f->moment, detail);
                return "kernel";
        }
        if (strcmp(reason, "guest-shutdown") == 0) {
                (void)error_set(err, -EIO, "the guest ended its machine %s: %s", f->moment, detail);
                return "kernel";
        }
        if (strcmp(reason, "engine-died") == 0)
                (void)error_set(err, -EIO, "the machine's engine (%s) ended by itself %s: %s", f->engine,
                                f->moment, detail);
        else if (reason[0] != '\0')
                (void)error_set(err, strcmp(reason, "engine-missing") == 0 ? -ENOENT : -EIO,
                                "start the machine: %s%s%s", reason, detail[0] != '\0' ? ": " : "", detail);
        else
                blame_vmm(f->end, err);
        return "machine";
}

void verdict_init_ended(const struct frame_exit *init, bool ran, struct error *err)
{
        char how[64] = "";
        if (init != NULL && init->signal != 0)
                (void)snprintf(how, sizeof(how), " by signal %u", init->signal);
        else if (init != NULL)
                (void)snprintf(how, sizeof(how), " with code %u", init->code);
        (void)error_set(
            err, -ECANCELED, "the box's init ended%s %s", how,
            ran ? "while the command ran, and took it along"
                : "before the command could run: the entry point must stay with what --cmd gives it");
}
