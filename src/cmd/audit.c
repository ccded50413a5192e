#include "service/audit.h"

#include "auth/auth.h"
#include "cmd/cmd.h"
#include "core/text.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
	"Usage: functions-admin audit verify [--expect CHAIN:NUMBER:HASH] [--json]\n"
	"       functions-admin audit export [--project REF]\n"
	"       functions-admin audit prune --keep-days DAYS [--json]\n"
	"\n"
	"The audit log: who did what, as a chain of keyed hashes for each project.\n"
	"\n"
	"  verify    walks every chain and names each entry that was changed, removed, moved or put in; exit status 1 "
	"then.\n"
	"            It prints the head of each chain: note it elsewhere, and give it to --expect at the next check\n"
	"  export    every entry as one line of JSON, the oldest first\n"
	"  prune     removes old entries; checkpoints keep the rest verifiable\n"
	"  --config  and all options of functions-admin.conf(5); master_key is needed\n";

struct audits {
	struct config *cfg;
	struct service *service;
	bool json;
};

struct verification {
	bool json;
	json_t *chains;
	json_t *findings;
};

static void on_chain(void *ctx, const char *chain, int64_t rows, const struct audit_mark *head)
{
	struct verification *v = ctx;
	char hex[2 * CRYPTO_HASH_BYTES + 1];

	text_hex(head->hash, sizeof head->hash, hex);
	if (v->json)
		(void)json_array_append_new(v->chains,
					    json_pack("{s:s, s:I, s:I, s:s}", "chain", chain, "entries",
						      (json_int_t)rows, "head", (json_int_t)head->seq, "hash", hex));
	else
		(void)printf("%-20s %lld entries, head %s:%lld:%s\n", chain[0] != '\0' ? chain : "(no project)",
			     (long long)rows, chain, (long long)head->seq, hex);
}

static void on_finding(void *ctx, const char *what)
{
	struct verification *v = ctx;

	if (v->json)
		(void)json_array_append_new(v->findings, json_string(what));
	else
		(void)printf("FOUND %s\n", what);
}

/* "REF:17:HEX", as verify prints it. */
static bool read_expectation(char *text, struct audit_expectation *out, struct err *e)
{
	char *number = strchr(text, ':');
	char *hash = number != NULL ? strchr(number + 1, ':') : NULL;

	if (hash != NULL) {
		*number++ = '\0';
		*hash++ = '\0';
		out->chain = text;
		if (text_int64(number, 0, INT64_MAX, &out->seq) && strlen(hash) == 2 * sizeof out->hash &&
		    text_unhex(hash, out->hash, sizeof out->hash))
			return true;
	}
	(void)err_set(e, ERR_USAGE, NULL, "--expect takes CHAIN:NUMBER:HASH");
	return err_hint(e, "Copy it from what an earlier `audit verify` printed behind \"head\".");
}

static bool verify(struct audits *t, int argc, char **argv, int *status, struct err *e)
{
	struct verification v = {.json = t->json, .chains = json_array(), .findings = json_array()};
	const struct audit_report report = {.chain = on_chain, .finding = on_finding, .ctx = &v};
	struct audit_expectation expectation;
	const char *text = cmd_value(&argc, argv, "--expect");
	char *expect = text != NULL ? strdup(text) : NULL;
	int64_t findings = 0;
	bool ok = cmd_no_more(argc, argv, e) && (expect == NULL || read_expectation(expect, &expectation, e)) &&
		  audit_verify(t->service, expect != NULL ? &expectation : NULL, &report, &findings, e);

	*status = findings > 0;
	if (ok && t->json) {
		ok = cmd_print_json(
			json_pack("{s:b, s:O, s:O}", "ok", findings == 0, "chains", v.chains, "findings", v.findings),
			e);
	} else if (ok) {
		(void)printf(findings == 0 ? "The audit log is as it was written.\n"
					   : "The audit log was tampered with: %lld findings.\n",
			     (long long)findings);
	}
	json_decref(v.chains);
	json_decref(v.findings);
	free(expect);
	return ok;
}

static bool print_row(void *ctx, const struct audit_row *row)
{
	char hash[2 * CRYPTO_HASH_BYTES + 1];
	char at[25];
	json_t *doc;
	bool ok;

	(void)ctx;
	text_hex(row->hash, sizeof row->hash, hash);
	text_iso8601(row->at, at);
	doc = json_pack("{s:s*, s:I, s:s, s:s, s:s*, s:s, s:s, s:s, s:s, s:s, s:s*, s:s*, s:s}", "project",
			row->project_ref, "id", (json_int_t)row->seq, "at", at, "actor", row->actor, "token_id",
			row->token_id, "address", row->address, "request_id", row->request_id, "action", row->action,
			"target", row->target, "outcome", row->outcome, "before", row->before, "after", row->after,
			"hash", hash);
	ok = doc != NULL && json_dumpf(doc, stdout, JSON_COMPACT) == 0 && fputc('\n', stdout) != EOF;
	json_decref(doc);
	return ok;
}

static bool export(struct audits *t, int argc, char **argv, int *status, struct err *e)
{
	const char *project = cmd_value(&argc, argv, "--project");

	*status = 0;
	return cmd_no_more(argc, argv, e) && audit_export(t->service, project, print_row, NULL, e);
}

static bool prune(struct audits *t, int argc, char **argv, int *status, struct err *e)
{
	const char *days = cmd_value(&argc, argv, "--keep-days");
	int64_t removed = 0;
	int64_t number;

	*status = 0;
	if (!cmd_no_more(argc, argv, e))
		return false;
	if (days == NULL || !text_int64(days, 0, 36500, &number)) {
		(void)err_set(e, ERR_USAGE, NULL, "prune needs --keep-days, a number of days");
		return err_hint(e, "functions-admin audit prune --keep-days 365");
	}
	if (!audit_prune_all(t->service, cmd_actor(), service_now() - number * 86400 * 1000, &removed, e))
		return false;
	if (t->json)
		return cmd_print_json(json_pack("{s:I}", "removed", (json_int_t)removed), e);
	return printf("removed %lld entries\n", (long long)removed) > 0;
}

static const struct {
	const char *name;
	bool (*run)(struct audits *t, int argc, char **argv, int *status, struct err *e);
} actions[] = {{"verify", verify}, {"export", export}, {"prune", prune}};

static bool run(struct audits *t, int argc, char **argv, int *status, struct err *e)
{
	static const char *const own[] = {"--help", "--json", "--expect=", "--project=", "--keep-days=", NULL};

	if (!config_load(&t->cfg, &argc, argv, own, e))
		return false;
	for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
		if (argc >= 2 && text_eq(argv[1], actions[i].name))
			return cmd_open(&t->service, t->cfg, e) && actions[i].run(t, argc - 1, argv + 1, status, e);
	(void)err_set(e, ERR_USAGE, NULL, "audit needs verify, export or prune");
	return err_hint(e, "functions-admin audit --help");
}

int cmd_audit(int argc, char **argv)
{
	struct audits t = {0};
	struct err e = ERR_INIT;
	int status = 0;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(help, stdout);
		return 0;
	}
	t.json = cmd_flag(&argc, argv, "--json");
	if (!run(&t, argc, argv, &status, &e))
		status = cmd_fail(&e);
	service_close(t.service);
	config_free(t.cfg);
	return status;
}
