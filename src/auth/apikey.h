/*
 * apikey - tells by its looks what kind of credential a caller sent. It proves nothing: the kind only says which check
 * has to follow.
 */
#ifndef FA_AUTH_APIKEY_H
#define FA_AUTH_APIKEY_H

enum apikey_kind {
	APIKEY_OTHER,        /* nothing that this service knows */
	APIKEY_ACCESS_TOKEN, /* sbp_ or sbp_v0_ and 40 lower-case hexadecimal digits */
	APIKEY_SECRET,       /* sb_secret_... */
	APIKEY_PUBLISHABLE,  /* sb_publishable_... */
	APIKEY_JWT           /* three parts of base64url with dots between */
};

enum apikey_kind apikey_classify(const char *credential);

#endif
