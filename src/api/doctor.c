#include "service/doctor.h"
#include "api/handlers.h"

#include <string.h>

struct findings {
	json_t *array;
	bool healthy;
	bool complete;
};

static void take(void *ctx, const struct finding *f)
{
	struct findings *all = ctx;

	all->healthy = all->healthy && f->verdict != DOCTOR_WRONG;
	all->complete = json_array_append_new(all->array, doctor_view(f)) == 0 && all->complete;
}

/* Is it among those that the gateways wrote down? */
static bool is_forwarded(const char *hops, const char *address)
{
	size_t len = strlen(address);

	while (*hops != '\0') {
		hops += strspn(hops, " \t,");
		if (strncmp(hops, address, len) == 0 && strchr(" \t,", hops[len]) != NULL)
			return true;
		hops += strcspn(hops, ",");
	}
	return false;
}

/* Whether callers can be told apart, by the request that asks: nginx or trusted_proxies have found its address in what
 * the gateway says, or it is the gateway's own. */
static void check_gateway(const struct call *c, const struct doctor *d)
{
	const char *hops = request_header(c->req, "X-Forwarded-For");
	const char *address = c->req->address;

	if (hops == NULL || hops[0] == '\0')
		doctor_say(d, "gateway", DOCTOR_OK,
			   arena_printf(d->arena, "this request came straight from %s", address), NULL);
	else if (is_forwarded(hops, address))
		doctor_say(d, "gateway", DOCTOR_OK,
			   arena_printf(d->arena, "it tells callers apart: this request came from %s", address), NULL);
	else
		doctor_say(
			d, "gateway", DOCTOR_WARNING,
			arena_printf(d->arena, "every caller looks like %s, which has passed this request on", address),
			"Set trusted_proxies to that address; without it rate limits, tokens that are bound to "
			"networks and the audit log cannot tell callers apart.");
}

bool doctor_get(struct call *c, struct err *e)
{
	struct findings all = {.array = json_array(), .healthy = true, .complete = true};
	const struct doctor d = {
		.cfg = c->service->cfg, .service = c->service, .arena = c->arena, .say = take, .ctx = &all};

	check_gateway(c, &d);
	doctor_service(&d);
	if (!all.complete) {
		json_decref(all.array);
		return err_no_memory(e);
	}
	return response_json(c->resp, 200, json_pack("{s:b, s:o}", "healthy", all.healthy, "checks", all.array), e);
}
