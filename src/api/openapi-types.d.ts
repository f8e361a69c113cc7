// Made from the OpenAPI document: STOPGAP_WRITE_GOLDEN=1 npm test -- openapi-types writes it anew.
export interface paths {
    "/api/v1": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The resources there are */
        get: operations["get_api_v1"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** This API as an OpenAPI 3.1 document */
        get: operations["get_openapi_json"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The administrators' page */
        get: operations["get_root"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/assets/{file}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The page's scripts and styles */
        get: operations["get_assets_file"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/overview": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How it is now: what waits, what is in force, what is refused, who sends most */
        get: operations["get_overview"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/blocks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List, filter and search blocks and proposals, newest first, now or at a past instant */
        get: operations["get_blocks"];
        put?: never;
        /** Block a subject */
        post: operations["post_blocks"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/blocks/actions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Approve, dismiss or release many; the result has a row for each, in the order of the ids */
        post: operations["post_blocks_actions"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/blocks/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read a block with its evidence and history */
        get: operations["get_blocks_id"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        /** Change an active block: its end, description, refusal; a duration counts from now */
        patch: operations["patch_blocks_id"];
        trace?: never;
    };
    "/api/v1/blocks/{id}/approve": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Put a proposed block in force, for as long as was proposed or as is said */
        post: operations["post_blocks_id_approve"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/blocks/{id}/dismiss": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Dismiss a proposal: the sends behind it count no more, and limits are tripled for an hour */
        post: operations["post_blocks_id_dismiss"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/blocks/{id}/release": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** End an active block now: the sends behind it count no more, and limits are tripled for an hour */
        post: operations["post_blocks_id_release"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/blocks/{id}/held": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the mail that is held for a block, newest first */
        get: operations["get_blocks_id_held"];
        put?: never;
        /** Say what becomes of the mail that is held for a block by now: the hook is called for it. keep withdraws what was decided and is not done */
        post: operations["post_blocks_id_held"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/blocks/{id}/report": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What got through before and after a block, what it stopped, and what clients were told */
        get: operations["get_blocks_id_report"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/blocks/{id}/refusals": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List what a block refused, oldest first; a page may be short, and still have a next */
        get: operations["get_blocks_id_refusals"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/exemptions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the exemptions in force, those of the rules file too */
        get: operations["get_exemptions"];
        put?: never;
        /** Exempt a subject from proposals and blocks by rules; it replaces an earlier one of the same subject */
        post: operations["post_exemptions"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/exemptions/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read an exemption */
        get: operations["get_exemptions_id"];
        put?: never;
        post?: never;
        /** Revoke an exemption */
        delete: operations["delete_exemptions_id"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/overrides": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the accounts and domains that have overrides */
        get: operations["get_overrides"];
        /** Set or remove the overrides of many accounts and domains; others are left alone */
        put: operations["put_overrides"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/overrides/{type}/{value}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What is set for one account or domain, what holds for it now, and its history */
        get: operations["get_overrides_type_value"];
        /** Set the override of an account or domain, in place of what the API had set before */
        put: operations["put_overrides_type_value"];
        post?: never;
        /** Remove what the API has set for an account or domain */
        delete: operations["delete_overrides_type_value"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/rules": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read the rule set in force, as YAML and parsed */
        get: operations["get_rules"];
        /** Replace the rule set; a faulty one is refused as a whole and the old one stays */
        put: operations["put_rules"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/rules/precision": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How often each rule was right, by what people and time have made of its blocks and proposals */
        get: operations["get_rules_precision"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/rules/validate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Check a rule set without putting it in force */
        post: operations["post_rules_validate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/rules/observed": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Where rules tripped that only observe, newest first */
        get: operations["get_rules_observed"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/rules/shadow": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The rules in the shadow, and how they compare with those in force */
        get: operations["get_rules_shadow"];
        /** Run a rule set beside the one in force, without acting; the one before it is gone */
        put: operations["put_rules_shadow"];
        post?: never;
        /** Stop running rules in the shadow */
        delete: operations["delete_rules_shadow"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/rules/shadow/differences": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What the shadow rules would have done otherwise, newest first */
        get: operations["get_rules_shadow_differences"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/rules/shadow/promote": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Put the shadow rules in force, with the windows that they have counted */
        post: operations["post_rules_shadow_promote"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/backtests": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the back-tests that are remembered, newest first, without their reports */
        get: operations["get_backtests"];
        put?: never;
        /** Try rules on what has been recorded; one back-test at a time */
        post: operations["post_backtests"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/backtests/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read one back-test: how far it has come, and its report once it is done */
        get: operations["get_backtests_id"];
        put?: never;
        post?: never;
        /** Cancel a back-test that runs, or forget one that has ended */
        delete: operations["delete_backtests_id"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/senders": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The busiest senders now */
        get: operations["get_senders"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/senders/{type}/{value}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One sender: its windows against the limits, its standing, its blocks so far, an account's latest sends */
        get: operations["get_senders_type_value"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/senders/{type}/{value}/volume": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What an account sent over time, step by step */
        get: operations["get_senders_type_value_volume"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/changes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Who decided what, when, why and through what: the newest 10,000, newest first */
        get: operations["get_changes"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/check": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Whether a sender would be refused now, or would have been at a past instant, and why */
        get: operations["get_check"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/forget": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Forget a person: erase what concerns an account or address, and keep blocks under a pseudonym */
        post: operations["post_forget"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/storage": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What is kept, for how long, and what it takes on the disk */
        get: operations["get_storage"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/decide": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** What a mail server is to answer a sender; a refusal is recorded */
        post: operations["post_decide"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/sends": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Report sends, refused recipients, bounces, returned mail and failed logins; each counts once, however often it is sent */
        post: operations["post_sends"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/rspamd/{token}/blocked": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** For a multimap of rspamd: 200 if the account is blocked, 404 if not */
        get: operations["get_rspamd_token_blocked"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/rspamd/{token}/sent": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** For metadata_exporter of rspamd: a message that was accepted is a send */
        post: operations["post_rspamd_token_sent"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/feigned": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How many logins from an address failed lately, and how many of them because a block made them fail */
        get: operations["get_feigned"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/notices": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the channels of notices, and what became of the last notices of each */
        get: operations["get_notices"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/notices/test": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Send what the newest block made a channel say, marked as a test */
        post: operations["post_notices_test"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/notices/{id}/resend": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Send a notice again that was given up, with the same id */
        post: operations["post_notices_id_resend"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Events as they are written, resumable by Last-Event-ID */
        get: operations["get_events"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/sign-in": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Which ways of signing in there are */
        get: operations["get_sign_in"];
        put?: never;
        /** Sign in as a person: the answer sets the cookie of a session */
        post: operations["post_sign_in"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/sign-in/evaluation": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Sign in to the evaluation set-up as an administrator, without a password: on this machine alone */
        post: operations["post_sign_in_evaluation"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/sign-in/first": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Make the first administrator by the link that was printed at the start, and sign in */
        post: operations["post_sign_in_first"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/sign-in/link": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Set a password by a link that an administrator made, and sign in */
        post: operations["post_sign_in_link"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/session": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Who asks, with what rights */
        get: operations["get_session"];
        put?: never;
        post?: never;
        /** Sign out: the session that asks ends */
        delete: operations["delete_session"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/sessions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the own sessions, newest first; an admin sees everybody's */
        get: operations["get_sessions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/sessions/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** End an own session; an admin ends anybody's */
        delete: operations["delete_sessions_id"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/session/password": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** Change the own password: other sessions end, and this one gets another cookie */
        put: operations["put_session_password"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/session/second-factor": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** Confirm the new secret with a code: from then on one is asked for at each sign-in */
        put: operations["put_session_second_factor"];
        /** Begin to use time-based codes: a secret, which counts once it is confirmed */
        post: operations["post_session_second_factor"];
        /** Remove the second factor: the password alone is enough then */
        delete: operations["delete_session_second_factor"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/sign-in/passkey/begin": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Begin to sign in by a passkey: what the browser asks the device for */
        post: operations["post_sign_in_passkey_begin"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/sign-in/passkey": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Sign in by a passkey: the answer sets the cookie of a session */
        post: operations["post_sign_in_passkey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/session/passkeys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the own passkeys */
        get: operations["get_session_passkeys"];
        put?: never;
        /** Add a passkey: other sessions end, and this one gets another cookie */
        post: operations["post_session_passkeys"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/session/passkeys/begin": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Begin to add a passkey: what the browser asks the device for */
        post: operations["post_session_passkeys_begin"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/session/passkeys/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Remove a passkey: other sessions end, and this one gets another cookie */
        delete: operations["delete_session_passkeys_id"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/people": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the people who may sign in, by name */
        get: operations["get_people"];
        put?: never;
        /** Add a person, who sets a password by a link that works once */
        post: operations["post_people"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/people/{name}/link": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Make a link that lets a person set a password, once; one from before works no more */
        post: operations["post_people_name_link"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/people/{name}/passkeys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Remove all passkeys of a person, as of one who lost a device; their sessions end */
        delete: operations["delete_people_name_passkeys"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/people/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Remove a person; their sessions end */
        delete: operations["delete_people_name"];
        options?: never;
        head?: never;
        /** Change what a person may do; their sessions end */
        patch: operations["patch_people_name"];
        trace?: never;
    };
    "/api/v1/log-level": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How much this process logs */
        get: operations["get_log_level"];
        /** Change how much this process logs, as a whole or in one component, until it ends */
        put: operations["put_log_level"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/log": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The last lines that this process logged, oldest first */
        get: operations["get_log"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/outbox/retry": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Try events once more that the store has refused and this process keeps in quarantine */
        post: operations["post_outbox_retry"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/healthz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How the process is; 200 as long as it answers, from its first moment */
        get: operations["get_healthz"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Whether it can do its work: read models caught up, listeners up */
        get: operations["get_readyz"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Metrics in the Prometheus text format, or in OpenMetrics where Accept prefers it */
        get: operations["get_metrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description RFC 9457 */
        Problem: {
            /** @description /problems/<code>, or about:blank where the status says it all. */
            type: string;
            title: string;
            status: number;
            code?: string;
            detail: string;
            instance: string;
            errors?: {
                field: string;
                message: string;
            }[];
        } & {
            [key: string]: unknown;
        };
        Subject: {
            /** @enum {string} */
            type: "account" | "address" | "domain" | "ehlo" | "ip";
            /** @description In normal form. */
            value: string;
        };
        ListedBlock: {
            id: string;
            /** @enum {string} */
            state: "proposed" | "active" | "released" | "expired" | "dismissed" | "lapsed";
            subject: components["schemas"]["Subject"];
            /** @enum {string} */
            direction: "outbound" | "inbound" | "all";
            description: string;
            /** @enum {string} */
            refusal: "soft" | "defer" | "honest" | "hold";
            /** @enum {string} */
            origin: "rule" | "admin";
            rule: string | null;
            /** @description When it came into force; null before that. */
            since: string | null;
            /** @description When it ends; null while indefinite is true, or before it is in force. */
            until: string | null;
            /** @description True where it ends only by a release. */
            indefinite: boolean;
            /**
             * @description From since to until; of a proposal how long it would last. Or indefinite.
             * @example 1h30m
             */
            duration: string;
            proposedAt: string | null;
            lapsesAt: string | null;
            endedAt: string | null;
            falsePositive: boolean;
            evidence: components["schemas"]["Evidence"] | null;
            /** @description What a person decided on this subject within the hour before this began. */
            follows: {
                /** @description Id of what was let go of. */
                block: string;
                /** @enum {string} */
                state: "released" | "dismissed";
                /** Format: date-time */
                at: string;
                /** @example admin:carol */
                by: string;
                falsePositive: boolean;
                note?: string;
            } | null;
            history: components["schemas"]["HistoryItem"][];
            /** @description Of one among others: how many extensions by rules its history leaves out, the oldest. GET of the block has all. */
            historyLeftOut?: number;
            /** @description What ETag names: changes whenever the block does. */
            version: number;
            /** @description How many attempts it has refused. Null for the role domain, except of an account: they may be of others. */
            refused: number | null;
            /** @description Null too where refused is. */
            lastRefusedAt: string | null;
        };
        /** @description The numbers that tripped a rule. */
        Evidence: {
            rule: string;
            /** @description Version of the rule set. */
            version: number;
            count: string;
            /** @example 1h30m */
            window: string;
            /** @description So many of the largest messages are left out of the count. */
            leaveOut?: number;
            limit: number;
            observed: number;
            /** @description What is usual, where that made the limit: the weekly peaks. */
            habit?: {
                typical: number;
                record: number;
                weeks: number;
                learnt: boolean;
                /** @description The highest of the last four weeks, if it does not all count yet. */
                lately?: number;
                /** @description The record before them, in that case. */
                before?: number;
                /**
                 * @description Where the limit comes from, if not from these.
                 * @enum {string}
                 */
                bound?: "floor" | "start" | "ceiling";
            };
            /** @description What else was noticed. */
            signals?: string[];
            /** @description True where it counts attempts that the block refused, which keep it up. */
            attempts?: boolean;
            /** @description Of a network or an EHLO name: the accounts that came there and never were before. */
            accounts?: string[];
            /** @description Place in the total order of events. */
            firstPosition: number;
            /** @description Place in the total order of events. */
            lastPosition: number;
            /** Format: date-time */
            lastAt: string;
            sentence: string;
        };
        HistoryItem: {
            /** @example BlockImposed */
            type: string;
            /** Format: date-time */
            at: string;
            /**
             * @example admin:alice
             * @example rule:burst@3
             * @example system:expiry
             */
            by: string;
            /** @description Place in the total order of events. */
            position: number;
            note?: string;
            until?: string | null;
            /**
             * @description What clients are told from then on, where a person changed it.
             * @enum {string}
             */
            refusal?: "soft" | "defer" | "honest" | "hold";
            falsePositive?: boolean;
            evidence?: components["schemas"]["Evidence"];
            /**
             * @description What a person asked for of the held mail.
             * @enum {string}
             */
            held?: "release" | "delete" | "keep";
            hook?: components["schemas"]["HookRun"];
        };
        /** @description What the hook did. */
        HookRun: {
            /** @enum {string} */
            action: "hold-queue" | "release" | "delete";
            /** @description Position of the event that asked for it. */
            cause: number;
            /**
             * @description failed: it was given up. replaced: another decision came when it had done a part.
             * @enum {string}
             */
            outcome: "done" | "failed" | "replaced";
            /** @description Messages that it was called for. Absent for the role domain, except of an account: it may be mail of others. */
            asked?: number;
            /** @description Of these, how many it says that it acted on. Absent for the role domain, except of an account: it may be mail of others. */
            acted?: number;
            /** @description Messages that were to be released and stay on hold, for other blocks that cover their senders. Absent for the role domain, except of an account: it may be mail of others. */
            moved?: number;
            /** @description The first lines that it printed, or why it failed. Absent for the role domain. */
            output?: string;
        };
        Block: {
            id: string;
            /** @enum {string} */
            state: "proposed" | "active" | "released" | "expired" | "dismissed" | "lapsed";
            subject: components["schemas"]["Subject"];
            /** @enum {string} */
            direction: "outbound" | "inbound" | "all";
            description: string;
            /** @enum {string} */
            refusal: "soft" | "defer" | "honest" | "hold";
            /** @enum {string} */
            origin: "rule" | "admin";
            rule: string | null;
            /** @description When it came into force; null before that. */
            since: string | null;
            /** @description When it ends; null while indefinite is true, or before it is in force. */
            until: string | null;
            /** @description True where it ends only by a release. */
            indefinite: boolean;
            /**
             * @description From since to until; of a proposal how long it would last. Or indefinite.
             * @example 1h30m
             */
            duration: string;
            proposedAt: string | null;
            lapsesAt: string | null;
            endedAt: string | null;
            falsePositive: boolean;
            evidence: components["schemas"]["Evidence"] | null;
            /** @description What a person decided on this subject within the hour before this began. */
            follows: {
                /** @description Id of what was let go of. */
                block: string;
                /** @enum {string} */
                state: "released" | "dismissed";
                /** Format: date-time */
                at: string;
                /** @example admin:carol */
                by: string;
                falsePositive: boolean;
                note?: string;
            } | null;
            history: components["schemas"]["HistoryItem"][];
            /** @description Of one among others: how many extensions by rules its history leaves out, the oldest. GET of the block has all. */
            historyLeftOut?: number;
            /** @description What ETag names: changes whenever the block does. */
            version: number;
        };
        /** @description What a person has decided for some or all of these, and no hook has done; null: nothing. */
        HeldDecision: {
            /** @enum {string} */
            action: "release" | "delete";
            /** @description Messages that were held when it was decided. */
            count: number;
            /** @description Whether the hook was given up. */
            failed: boolean;
        } | null;
        HeldMessage: {
            queueId: string;
            account: string | null;
            returnPath: string | null;
            recipients: number;
            size: number;
            /**
             * Format: date-time
             * @description When it came, or was found in the queue.
             */
            at: string;
        };
        ContainmentReport: {
            block: components["schemas"]["Block"];
            /** @description The first send since the beginning of what the evidence looks at: what it counts has begun then, or later. Null without evidence that counts sends. */
            onset: {
                /** Format: date-time */
                at: string;
                /** @description Place in the total order of events. */
                position: number;
            } | null;
            /** @description What got through before the block: all since the beginning of what the evidence looks at, which may be more than it counts; without evidence within the day before. Mail of a direction that the block took in later counts until then, with evidence. Null where that is not counted: without evidence, or with one of failed logins alone, and not of an account. */
            before: components["schemas"]["PassedMail"] | null;
            /** @description What got through after the block had begun, within a minute, or within 11 of what our own listener had asked about: messages that were under way. Also what was held, and a person has let go while the block was in force. */
            after: components["schemas"]["PassedMail"];
            /** @description Whether some of `after` was held first. */
            letGo: boolean;
            /** @description What got through later while the block was in force. */
            past: components["schemas"]["PassedMail"];
            /** @description Why it may have, and what to do; null where nothing has. */
            pastWhy: string | null;
            /** @description Bounces that came back since the onset. */
            bounces: number;
            /** @description From where it came, most recipients first, at most 10. */
            sources: {
                ip: string;
                messages: number;
                recipients: number;
            }[];
            /** @description How many more there are; at most 1,000 are told apart. */
            otherSources: number;
            /** @description What the block refused, by stage. */
            stopped: {
                /** @enum {string} */
                stage: "auth" | "rcpt" | "data";
                refusals: number;
                /** Format: date-time */
                first: string;
                /** Format: date-time */
                last: string;
            }[];
            /** @description The replies that clients heard, most frequent first, at most 10. HOLD: the mail server was to take the mail and hold it; what it refused in place of that is not counted there. */
            told: {
                /** @enum {string} */
                stage: "auth" | "rcpt" | "data";
                refusals: number;
                /** Format: date-time */
                first: string;
                /** Format: date-time */
                last: string;
                reply: string;
            }[];
            /** @description Refusals with other replies. */
            otherReplies: number;
            /** @description What became of them is in the history of the block. */
            held: {
                /** @description Messages that were held in all. */
                messages: number;
                recipients: number;
                /** @description Of these, messages that were found in the queue when the block began. They count as got through too: some of their recipients may have them. */
                queued: number;
                /** @description Of these, messages that are listed as held still: also what was let go by hand, and what the hook had released or deleted before it was given up. */
                waiting: number;
                decided: components["schemas"]["HeldDecision"];
                /** @description Of these, messages that stayed on hold for another block of their sender when they were to be released, and did not come back. They are listed there. */
                moved: number;
                /** @description Of these, messages that a mail server has reported as sent since, while the block was in force: by the hook, or by hand. What was let go by hand counts as waiting too, until the hook has released or deleted it. */
                sentOn: number;
                /** @description Of moved, what became of them there, as far as it is known. */
                elsewhere: {
                    released: number;
                    deleted: number;
                    waiting: number;
                };
                /** @description Whether mail of accounts of other domains is held too, which the role domain neither sees nor decides on: an operator does. */
                others: boolean;
                /** @description Besides these, refusals of mail that was to be held and was not, mostly since the mail server could not hold it: it has to be sent again. */
                unheld: number;
                /** @description Of unheld, refusals since the block held as much as one may (1,000 messages or 1 GiB). */
                full: number;
            };
            /** @description Null where all is counted. Else there were too many events to read, and those after this instant are left out. */
            coveredUntil: string | null;
            /** @description Null where all is kept. Else what was sent and refused before this instant has outlived its retention, and is not counted. */
            keptSince: string | null;
        };
        /** @description Mail that got through. */
        PassedMail: {
            messages: number;
            recipients: number;
            bytes: number;
            /** @description Recipients that the mail server behind refused. */
            refusedRecipients: number;
            first: string | null;
            last: string | null;
        };
        Refusal: {
            at: string;
            /** @enum {string} */
            stage: "auth" | "rcpt" | "data";
            block: string;
            reply: string;
            /**
             * @description It was to be held, and was not.
             * @constant
             */
            unheld?: true;
            /**
             * @description Of unheld: the block held as much as one may; else the mail server could not hold it.
             * @constant
             */
            full?: true;
            returnPath: string | null;
            ehlo: string | null;
            ip: string | null;
            /** @description How many it stands for. */
            count: number;
            account: string | null;
        };
        Exemption: {
            id: string;
            subject: components["schemas"]["Subject"];
            reason: string;
            /** @description Null is for ever. */
            until: string | null;
            /** @enum {string} */
            origin: "rules" | "admin";
            by: string | null;
            at: string | null;
            /** @description How often it kept a rule from acting. */
            saved: number;
            savedAt: string | null;
        };
        GrantedExemption: {
            id: string;
            subject: components["schemas"]["Subject"];
            reason: string;
            /** @description Null is for ever. */
            until: string | null;
            /** @enum {string} */
            origin: "rules" | "admin";
            by: string | null;
            at: string | null;
            /** @description How often it kept a rule from acting. */
            saved: number;
            savedAt: string | null;
            /** @description The exemption of the same subject that it took the place of. */
            replaced: {
                reason: string;
                /** @description Null is for ever. */
                until: string | null;
            } | null;
            /** @description The proposal of the same subject that it dismissed, if one waited. */
            dismissed: string | null;
            /** @description Blocks in force that it covers, 100 at most: an exemption ends no block, so they go on refusing. */
            blocks: {
                id: string;
                subject: components["schemas"]["Subject"];
                /** @enum {string} */
                direction: "outbound" | "inbound" | "all";
                /** @description Null is for ever. */
                until: string | null;
                /** @description POST there to end it. */
                release: string;
            }[];
        };
        Override: {
            subject: {
                /** @enum {string} */
                type: "account" | "domain";
                value: string;
            };
            /** @description What ETag names: 0 where there never was one. */
            version: number;
            /** @description Lies over the file's, key by key. */
            api: components["schemas"]["OverrideLayer"] | null;
            file: components["schemas"]["OverrideLayer"] | null;
            /** @description Limits that no rule in force looks at. */
            unused: {
                /** @example limits.burst */
                field: string;
                message: string;
            }[];
        };
        OverrideLayer: {
            /** @description By rule id. */
            limits: {
                [key: string]: number | "off";
            };
            factor: number | null;
            /** @description Of a domain: for its rules per domain. */
            total: {
                /** @description By rule id. */
                limits: {
                    [key: string]: number | "off";
                };
                factor: number | null;
            } | null;
            plan: string | null;
            /** @description Null is for ever. */
            until: string | null;
            reason: string | null;
            by: string;
            /** Format: date-time */
            at: string;
            /** @description False once its time is over. */
            inForce: boolean;
        };
        OverrideDetail: {
            subject: {
                /** @enum {string} */
                type: "account" | "domain";
                value: string;
            };
            /** @description What ETag names: 0 where there never was one. */
            version: number;
            /** @description Lies over the file's, key by key. */
            api: components["schemas"]["OverrideLayer"] | null;
            file: components["schemas"]["OverrideLayer"] | null;
            /** @description Limits that no rule in force looks at. */
            unused: {
                /** @example limits.burst */
                field: string;
                message: string;
            }[];
            /** @description The limits that differ now, whatever their origin; inherited ones too. */
            effective: {
                rule: string;
                /**
                 * @description For a domain: each of its accounts, or all of it.
                 * @enum {string}
                 */
                per: "account" | "domain";
                limit: number | "off";
                /** @description The rule's own. */
                usual: number;
                /** @description True where the limit follows the sender's baselines: then both are the lowest it can be. */
                lowest: boolean;
                sentence: string;
            }[];
            /** @description Oldest first. */
            history: {
                /** @enum {string} */
                type: "OverrideSet" | "OverrideRemoved";
                /** @enum {string} */
                origin: "file" | "api";
                /** Format: date-time */
                at: string;
                by: string;
                position: number;
                note?: string;
                set?: {
                    /** @description By rule id. */
                    limits: {
                        [key: string]: number | "off";
                    };
                    factor: number | null;
                    /** @description Of a domain: for its rules per domain. */
                    total: {
                        /** @description By rule id. */
                        limits: {
                            [key: string]: number | "off";
                        };
                        factor: number | null;
                    } | null;
                    plan: string | null;
                    /** @description Null is for ever. */
                    until: string | null;
                    reason: string | null;
                };
            }[];
        };
        Rules: {
            version: number;
            /**
             * @description A promotion is one of shadow.
             * @enum {string}
             */
            origin: "defaults" | "file" | "api" | "shadow";
            /** @description The YAML that it was read from. */
            source: string;
            /** @enum {string} */
            mode: "enforce" | "observe";
            /** @example 20 in 10m */
            maxAutomaticBlocks: string;
            /** @description When a sender counts as known. */
            learning: {
                days: number;
                /** @example 1h30m */
                age: string;
                /** @example 1h30m */
                installation: string;
            };
            rules: {
                id: string;
                description: string | null;
                /** @enum {string} */
                per: "account" | "address" | "domain" | "ehlo" | "ip";
                count: string;
                /** @example 1h30m */
                window: string;
                /** @description So many of the largest messages are left out of the count. */
                leaveOut: number | null;
                /** @description With a baseline the lowest that it can be. */
                limit: number;
                /** @description How the limit follows the sender. */
                baseline: {
                    /** @description Times the median of the weekly peaks; 0 leaves it out. */
                    baseline: number;
                    /** @description Times the highest of them; 0 leaves it out. */
                    record: number;
                    /** @description Times the largest message; 0 leaves it out. */
                    largest: number;
                    /** @description Added to the highest of these multiples. */
                    plus: number;
                    /** @description The most by which the last four weeks raise the record; null for any amount. */
                    rise: number | null;
                    floor: number;
                    /** @description The floor of who is still being learnt. */
                    start: number;
                    ceiling: number | null;
                } | null;
                /** @description As in the rules file. */
                when: {
                    [key: string]: unknown;
                } | null;
                score: {
                    threshold: number;
                    signals: ({
                        points: number;
                    } & {
                        [key: string]: unknown;
                    })[];
                } | null;
                /** @description Of a count of accounts: when one of them has turned. */
                turned: {
                    count: string;
                    /** @example 1h30m */
                    window: string;
                    limit: {
                        /** @description Times the median of the weekly peaks; 0 leaves it out. */
                        baseline: number;
                        /** @description Times the highest of them; 0 leaves it out. */
                        record: number;
                        /** @description Times the largest message; 0 leaves it out. */
                        largest: number;
                        /** @description Added to the highest of these multiples. */
                        plus: number;
                        /** @description The most by which the last four weeks raise the record; null for any amount. */
                        rise: number | null;
                        floor: number;
                        /** @description The floor of who is still being learnt. */
                        start: number;
                        ceiling: number | null;
                    };
                    /** @example 1h30m */
                    alarm: string;
                    /** @example 1h30m */
                    after: string;
                } | null;
                then: string;
                /** @description Or indefinite; null where it only observes. */
                for: string | null;
                escalate: {
                    factor: number;
                    /** @example 1h30m */
                    max: string;
                    /** @example 1h30m */
                    forget: string;
                } | null;
                /** @example 1h30m */
                lapse: string;
                /** @enum {string} */
                direction: "outbound" | "inbound" | "all";
                /** @enum {string} */
                refuse: "soft" | "defer" | "honest" | "hold";
                renewWhileTrying: boolean;
                teaches: boolean;
                activeBlocks: number;
            }[];
            exempt: {
                subject: components["schemas"]["Subject"];
                until: string | null;
                reason: string;
            }[];
            /** @description What is valid and will not do what it is meant to here, a sentence each. */
            warnings: string[];
            /** @description What learning.installation counts from: the first event or day that there is. */
            installedAt: string | null;
        };
        RulePrecision: {
            rule: string;
            inForce: boolean;
            /** @description Blocks that it imposed by itself. */
            imposed: number;
            /** @description Proposals that it made. */
            proposed: number;
            /** @description Blocks that ran out or were released without being called wrong; proposals approved. */
            confirmed: number;
            /** @description Blocks released as false positives. */
            falsePositives: number;
            /** @description Proposals that somebody declined. */
            dismissed: number;
            /** @description Proposals that nobody answered: they count for nothing. */
            lapsed: number;
            /** @description Blocks and proposals that have no judgement yet. */
            open: number;
            /** @description confirmed / (confirmed + falsePositives + dismissed); null where nothing is judged. */
            precision: number | null;
        };
        RuleFault: {
            line: number | null;
            path: string;
            message: string;
        };
        /** @description A rule tripped, and did nothing but say so. */
        Observed: {
            /** @description Place in the total order of events. */
            position: number;
            /** Format: date-time */
            at: string;
            subject: components["schemas"]["Subject"];
            rule: string;
            /**
             * @description What the rule asks for: observe, or what mode: observe or a block of the other direction kept it from.
             * @enum {string}
             */
            action: "observe" | "propose" | "block";
            evidence: components["schemas"]["Evidence"];
        };
        ShadowRules: {
            /** @description Counts the rule sets that ran in the shadow. */
            version: number;
            /** Format: date-time */
            since: string;
            /** @example admin:alice */
            by: string;
            /** @description The YAML that it was read from. */
            source: string;
            /** @enum {string} */
            mode: "enforce" | "observe";
            /** @example 20 in 10m */
            maxAutomaticBlocks: string;
            /** @description When a sender counts as known. */
            learning: {
                days: number;
                /** @example 1h30m */
                age: string;
                /** @example 1h30m */
                installation: string;
            };
            rules: {
                id: string;
                description: string | null;
                /** @enum {string} */
                per: "account" | "address" | "domain" | "ehlo" | "ip";
                count: string;
                /** @example 1h30m */
                window: string;
                /** @description So many of the largest messages are left out of the count. */
                leaveOut: number | null;
                /** @description With a baseline the lowest that it can be. */
                limit: number;
                /** @description How the limit follows the sender. */
                baseline: {
                    /** @description Times the median of the weekly peaks; 0 leaves it out. */
                    baseline: number;
                    /** @description Times the highest of them; 0 leaves it out. */
                    record: number;
                    /** @description Times the largest message; 0 leaves it out. */
                    largest: number;
                    /** @description Added to the highest of these multiples. */
                    plus: number;
                    /** @description The most by which the last four weeks raise the record; null for any amount. */
                    rise: number | null;
                    floor: number;
                    /** @description The floor of who is still being learnt. */
                    start: number;
                    ceiling: number | null;
                } | null;
                /** @description As in the rules file. */
                when: {
                    [key: string]: unknown;
                } | null;
                score: {
                    threshold: number;
                    signals: ({
                        points: number;
                    } & {
                        [key: string]: unknown;
                    })[];
                } | null;
                /** @description Of a count of accounts: when one of them has turned. */
                turned: {
                    count: string;
                    /** @example 1h30m */
                    window: string;
                    limit: {
                        /** @description Times the median of the weekly peaks; 0 leaves it out. */
                        baseline: number;
                        /** @description Times the highest of them; 0 leaves it out. */
                        record: number;
                        /** @description Times the largest message; 0 leaves it out. */
                        largest: number;
                        /** @description Added to the highest of these multiples. */
                        plus: number;
                        /** @description The most by which the last four weeks raise the record; null for any amount. */
                        rise: number | null;
                        floor: number;
                        /** @description The floor of who is still being learnt. */
                        start: number;
                        ceiling: number | null;
                    };
                    /** @example 1h30m */
                    alarm: string;
                    /** @example 1h30m */
                    after: string;
                } | null;
                then: string;
                /** @description Or indefinite; null where it only observes. */
                for: string | null;
                escalate: {
                    factor: number;
                    /** @example 1h30m */
                    max: string;
                    /** @example 1h30m */
                    forget: string;
                } | null;
                /** @example 1h30m */
                lapse: string;
                /** @enum {string} */
                direction: "outbound" | "inbound" | "all";
                /** @enum {string} */
                refuse: "soft" | "defer" | "honest" | "hold";
                renewWhileTrying: boolean;
                teaches: boolean;
            }[];
            exempt: {
                subject: components["schemas"]["Subject"];
                until: string | null;
                reason: string;
            }[];
            /** @description What is valid and will not do what it is meant to here, a sentence each. */
            warnings: string[];
            /** @description Version of the rules in force, with which they are compared now. */
            inForce: number;
            /** @description Cases that are not settled, and not counted yet: what was asked for would still hold. */
            open: number;
            compared: {
                /** @description Both rule sets asked for the same. */
                both: number;
                /** @description Only the shadow rules would have acted. */
                shadowOnly: number;
                /** @description Only the rules in force acted. */
                liveOnly: number;
                /** @description Proposed by the rules in force, blocked by the shadow rules. */
                stronger: number;
                /** @description Blocked by the rules in force, proposed by the shadow rules. */
                weaker: number;
            };
            /** @description The same by rule: that of the shadow set, or the one in force where only it tripped. */
            byRule: {
                rule: string;
                /** @description Both rule sets asked for the same. */
                both: number;
                /** @description Only the shadow rules would have acted. */
                shadowOnly: number;
                /** @description Only the rules in force acted. */
                liveOnly: number;
                /** @description Proposed by the rules in force, blocked by the shadow rules. */
                stronger: number;
                /** @description Blocked by the rules in force, proposed by the shadow rules. */
                weaker: number;
                /** @description Cases that are not settled, and not counted yet: what was asked for would still hold. */
                open: number;
            }[];
        };
        ShadowDifference: {
            /** @description Counts the cases since the shadow rules were loaded. */
            number: number;
            /** @enum {string} */
            kind: "shadowOnly" | "liveOnly" | "stronger" | "weaker";
            /** @description False while the other rule set may still come to the same. */
            settled: boolean;
            subject: components["schemas"]["Subject"];
            sentence: string;
            /** @description What the rules in force asked for. */
            live: {
                /** @enum {string} */
                action: "propose" | "block";
                /** Format: date-time */
                at: string;
                evidence: components["schemas"]["Evidence"];
            } | null;
            /** @description What the shadow rules asked for. */
            shadow: {
                /** @enum {string} */
                action: "propose" | "block";
                /** Format: date-time */
                at: string;
                evidence: components["schemas"]["Evidence"];
            } | null;
            /** @description Where only one set tripped: the fullest window of the other, just then; null where that exempts the subject. */
            nearest: components["schemas"]["Window"] | null;
            /** @description Id of the block or proposal that came of it. */
            block: string | null;
            /** @description That block was released, or that proposal dismissed, as one. */
            falsePositive: boolean;
        };
        Window: {
            subject: components["schemas"]["Subject"];
            rule: string;
            count: string;
            /** @example 1h30m */
            window: string;
            /** @description So many of the largest messages are left out of the count. */
            leaveOut?: number;
            /** @description All that is within the window. */
            observed: number;
            /** @description Of that, what came since the rule tripped or a block of the sender came about: that alone trips the rule again; null where neither was within the window. */
            sinceTrip: number | null;
            /** @description What is in force now: tripled for an hour after a release. */
            limit: number;
            /** @enum {string} */
            direction: "outbound" | "inbound" | "all";
            /** @description False where the rule cannot trip for this sender now, whatever it sends. */
            applies: boolean;
            /** @description Why it does not apply; null where it does. */
            reason: string | null;
            /** @description What must be so besides of a message, or of what is within the window. */
            besides: string[];
            /** @description Of a rule that counts accounts which turn: the state of their domain. Of an account, count, window and limit are then those above which it turns. */
            outbreak?: {
                domain: string;
                /** @description So many have turned within its window. */
                accounts: number;
                /** @description The rule trips above so many. */
                limit: number;
                /** @example 1h30m */
                window: string;
                /** @description When this account turned; null where it has not, and of the domain. */
                turnedAt: string | null;
                /** @description Until then the rule acts at once on each account that turns abnormal; null without an alarm. */
                alarmUntil: string | null;
            };
        };
        Backtest: {
            id: string;
            /** @enum {string} */
            state: "running" | "done" | "cancelled" | "failed";
            /** @example admin:alice */
            by: string;
            from: string | null;
            to: string | null;
            /** Format: date-time */
            startedAt: string;
            endedAt: string | null;
            /** @description Null before the first. */
            progress: {
                /** @description How much of the history has been gone through, from 0 to 1. */
                share: number;
                /** @description When the last event that was gone through was recorded, as from and to are meant: no time of the run. */
                at: string | null;
                messages: number;
                refused: number;
            } | null;
            /** @description Why it failed. */
            error: string | null;
            /** @description Once it is done. */
            report: components["schemas"]["BacktestReport"] | null;
        };
        BacktestReport: {
            source: string;
            /** @description When the first thing happened that is recorded. */
            begins: string | null;
            /** @description When the last thing happened that is recorded. */
            ends: string | null;
            from: string | null;
            to: string | null;
            sends: components["schemas"]["Mail"];
            senders: number;
            senderDays: number;
            imported: number;
            skipped: number;
            skippedFor: string | null;
            labelled: {
                messages: number;
                missing: number;
            } | null;
            candidates: components["schemas"]["BacktestCandidate"][];
            comparison: {
                refused: {
                    onlyFirst: components["schemas"]["Mail"];
                    onlySecond: components["schemas"]["Mail"];
                    both: components["schemas"]["Mail"];
                };
                blocks: {
                    first: {
                        shared: number;
                        only: number;
                    };
                    second: {
                        shared: number;
                        only: number;
                    };
                };
            } | null;
        };
        /** @description Messages, and how many recipients they had. */
        Mail: {
            messages: number;
            recipients: number;
        };
        /** @description What one rule set would have done. */
        BacktestCandidate: {
            rules: string;
            /** @enum {string} */
            mode: "enforce" | "observe";
            accepted: components["schemas"]["Mail"];
            refused: components["schemas"]["Mail"];
            attempts: {
                refused: number;
                letThrough: number;
            };
            blocks: number;
            proposals: number;
            right: number;
            wrong: number;
            byRule: {
                rule: string;
                blocks: number;
                proposals: number;
                observed: number;
                exempted: number;
                right: number;
                wrong: number;
                refused: components["schemas"]["Mail"];
            }[];
            cases: components["schemas"]["BacktestCase"][];
            casesLeftOut: number;
            score: {
                attacks: number;
                absent: number;
                contained: number;
                leakedMedian: number;
                leakedP95: number;
                /** @description From 0 to 1. */
                leakedShare: number;
                /** @description Recipients that leaked before a block first stopped the attack. */
                leakedBefore: number;
                leakedAfter: number;
                /** @description How many attacks each rule was the first to stop. */
                caughtBy: {
                    [key: string]: number;
                };
                byKind: {
                    [key: string]: {
                        attacks: number;
                        absent: number;
                        contained: number;
                        leakedMedian: number;
                        leakedP95: number;
                        /** @description From 0 to 1. */
                        leakedShare: number;
                        /** @description Recipients that leaked before a block first stopped the attack. */
                        leakedBefore: number;
                        leakedAfter: number;
                        /** @description How many attacks each rule was the first to stop. */
                        caughtBy: {
                            [key: string]: number;
                        };
                    };
                };
                senderDays: number;
                blocks: number;
                wrongBlocks: number;
                wrongBlocksPer1000SenderDays: number;
                proposals: number;
                proposalsPer1000SenderDays: number;
                cleanMessages: number;
                /** @description From 0 to 1. */
                cleanStoppedShare: number;
                /** @description From 0 to 1. */
                ownersStoppedShare: number;
                /** @description From 0 to 1. */
                bulkStoppedShare: number;
            } | null;
        };
        /** @description One block or proposal. */
        BacktestCase: {
            subject: components["schemas"]["Subject"];
            /** @enum {string} */
            action: "block" | "propose";
            rule: string;
            proposedAt: string | null;
            blockedAt: string | null;
            until: string | null;
            ended: ("expired" | "released" | "lapsed" | "dismissed") | null;
            endedAt: string | null;
            evidence: {
                count: string;
                window: string;
                limit: number;
                observed: number;
                sentence: string;
            };
            sentThatDay: components["schemas"]["Mail"] | null;
            refused: components["schemas"]["Mail"];
            judged: ("right" | "wrong") | null;
            shared: boolean | null;
        };
        Profile: {
            /** @description False while it is still being learnt. */
            known: boolean;
            firstDay: string;
            /** @description The last day that is summarised, in UTC. */
            lastDay: string;
            /** @description Weeks with sends that are remembered, at most eight: all the rest is of these. */
            weeks: number;
            /** @description Median and highest of the weekly peaks; -1 or -2: without so many largest messages. */
            windows: {
                typical: number;
                record: number;
                /**
                 * @example messages/1h
                 * @example recipients-2/10m
                 */
                window: string;
            }[];
            /** @description Recipients of the largest message of a week. */
            largestMessage: {
                typical: number;
                record: number;
            };
            messages: number;
            recipients: number;
            refusedRecipients: number;
            bounces: number;
            /** @description By hour of the day in UTC: in how many of the weeks it sent then. */
            hours: number[];
            /** @description The one used last comes last. */
            networks: {
                name: string;
                lastDay: string;
            }[];
            /** @description The one used last comes last. */
            ehlos: {
                name: string;
                lastDay: string;
            }[];
            /** @description The one used last comes last. */
            countries: {
                name: string;
                lastDay: string;
            }[];
            /** @description The one used last comes last. */
            asns: {
                name: string;
                lastDay: string;
            }[];
            /** @description Of which of these enough is known to call another one new. */
            placesKnown: ("networks" | "ehlos" | "countries" | "asns")[];
            /** @description The newest days that taught nothing, since a block fell on them. */
            containedDays: string[];
        };
        Cover: {
            id: string;
            reason: string;
            subject: components["schemas"]["Subject"];
        };
        Change: {
            /** @description Place in the total order of events. */
            position: number;
            /** Format: date-time */
            at: string;
            /** @example admin:alice */
            by: string;
            /** @example BlockReleased */
            type: string;
            /**
             * @description By the page, the command line or another client of the API, as its X-Request-Id says; other: by a file.
             * @enum {string}
             */
            via: "page" | "cli" | "api" | "other";
            requestId: string | null;
            subject: components["schemas"]["Subject"] | null;
            /** @description Id of the block or proposal. */
            block: string | null;
            why: string | null;
            /** @description What was decided on held mail; null where nothing was. */
            held: ("release" | "delete" | "keep") | null;
        };
        Stage: {
            /**
             * @description held: a mail server that asks takes the mail and keeps it.
             * @enum {string}
             */
            outcome: "refused" | "held" | "passes" | "not asked";
            block: string | null;
            /** @description What the client is told; null where we do not refuse. */
            reply: string | null;
        };
        /** @description What is behind the words of the mail program; null without said. */
        Said: {
            /** @description The reply code that was found in what was said. */
            code: number | null;
            /** @example 5.7.8 */
            enhanced: string | null;
            /**
             * @description What the sentence names first. trouble: the mail server behind, the store, the spool directory or the back end of logins failed, for everybody; other: Stopgap says that for what the sentence names; none: nothing is known here that said that to this account.
             * @enum {string}
             */
            cause: "block" | "no login" | "password" | "too many logins" | "return path" | "trouble" | "other" | "mail server" | "none";
            at: string | null;
            block: string | null;
            sentence: string;
        } | null;
        Forgotten: {
            /**
             * @description What the histories of their blocks are kept under; null if nothing was known of the name: nothing was written.
             * @example forgotten-1a2b3c4d@invalid
             */
            pseudonym: string | null;
            /** @description Events that went. */
            erased: number;
            /** @description Events that stay, without the name. */
            rewritten: number;
            position: number | null;
            /** @description What is still to be done, or cannot be: sentences for a person. */
            remains: string[];
        };
        Storage: {
            /** @enum {string} */
            store: "sqlite" | "kurrentdb";
            categories: components["schemas"]["StorageCategory"][];
            /** @description Of the store's files; null where it is a server. */
            bytes: number | null;
            /** @description Of these, what holds nothing. It is used again first. */
            reclaimable: number | null;
            /** @description Whether more than a tenth of free space is given back to the disk after each sweep. */
            givesBack: boolean;
            /** @description What the disk has left. */
            free: number | null;
        };
        StorageCategory: {
            /** @example sends */
            name: string;
            /**
             * @description How the names of its streams begin.
             * @example send
             */
            category: string;
            /**
             * @description Null: for ever.
             * @example 35d
             */
            retention: string | null;
            /** @description Null where the store does not tell. */
            events: number | null;
            isEstimate: boolean;
            /** @description When the oldest one was written. */
            oldestAt: string | null;
        };
        Decision: {
            /** @enum {string} */
            action: "accept" | "refuse" | "hold";
            /** @description What to tell the client; null where it is told nothing special. */
            code: number | null;
            /** @description With its enhanced status code. */
            text: string | null;
            block: string | null;
        };
        NoticeChannel: {
            name: string;
            /** @enum {string} */
            type: "webhook" | "slack" | "teams" | "ntfy" | "matrix" | "mail";
            events: ("proposed" | "imposed" | "approved" | "dismissed" | "released" | "expired" | "lapsed" | "breaker")[];
            /** @description Its receiver answered 410: nothing is sent until a test or a resend. */
            disabled: boolean;
            /** @description Notices that are made and not sent yet. */
            waiting: number;
            /** @description Receivers (the channel itself, each owner) to whom so many notices are under way that what happens only gathers for them. */
            stuck: number;
            /** @description Events that wait for the next notice, as in quiet hours; null where the process that answers sends no notices. */
            gathered: number | null;
            /** @description When that notice is made. */
            gatheredUntil: string | null;
            dead: number;
            /** @description Newest first. */
            notices: components["schemas"]["Notice"][];
        };
        Notice: {
            /** @description The webhook-id, the same over all attempts. */
            id: string;
            channel: string;
            /** @enum {string} */
            kind: "events" | "waiting" | "breaker" | "test";
            /** @description The owner that it goes to; null: the channel itself. */
            to: string | null;
            /**
             * @description dead: it was given up and may be resent.
             * @enum {string}
             */
            state: "waiting" | "sending" | "delivered" | "dead";
            /** Format: date-time */
            at: string;
            title: string;
            /** @description What it tells of. */
            events: number;
            attempts: number;
            /** @description When it is sent again; null if it is not. */
            nextAt: string | null;
            /** @description Why the last attempt failed. */
            error: string | null;
        };
        /** @description What `data` of each message in the stream is, as JSON. */
        FeedEvent: {
            /** @description Place in the total order of events. */
            position: number;
            eventId: string;
            stream: string;
            type: string;
            /** Format: date-time */
            at: string;
            by: string;
            correlation: string | null;
            data: {
                [key: string]: unknown;
            };
        };
        WaysToSignIn: {
            /** @description Whether one click is enough, on this machine. */
            evaluation: boolean;
            /** @description Whether the link that was printed at the start still works. */
            first: boolean;
            /** @description The OpenID provider, and what its button says. */
            openId: {
                label: string;
            } | null;
            /** @description Whether there can be: over HTTPS by the name in api.publicUrl, or as localhost. */
            passkeys: boolean;
        };
        Who: {
            name: string;
            /** @enum {string} */
            role: "viewer" | "operator" | "admin" | "server" | "domain";
            domains: string[];
            /**
             * @description How they came in. With a password or a passkey they have an account of their own here.
             * @enum {string}
             */
            by: "password" | "passkey" | "token" | "proxy" | "openid" | "evaluation";
            /** @description Whether their account here asks for a code. */
            secondFactor: boolean;
            /** @description Null for a token, and for a person that a proxy signs in. */
            session: components["schemas"]["Session"] | null;
        };
        Session: {
            id: string;
            name: string;
            /** Format: date-time */
            since: string;
            /**
             * Format: date-time
             * @description When it was last used, as far as this process knows.
             */
            usedAt: string;
            /**
             * Format: date-time
             * @description When it ends in any case.
             */
            until: string;
            /**
             * Format: date-time
             * @description When it ends if it is not used.
             */
            idleUntil: string;
            /** @description The client network that it was begun from. */
            network: string;
            /** @description Whether it is the one that asks. */
            current: boolean;
        };
        NewSecondFactor: {
            /** @description In base32, to be typed. */
            secret: string;
            /** @description What an authenticator reads from a picture: otpauth://… */
            uri: string;
        };
        RecoveryCodes: {
            /** @description Each works once. Shown only now. */
            recoveryCodes: string[];
        };
        /** @description PublicKeyCredentialRequestOptionsJSON of WebAuthn. */
        PasskeyRequest: {
            challenge: string;
            rpId: string;
            timeout: number;
            /** @constant */
            userVerification: "required";
        };
        Passkey: {
            id: string;
            name: string;
            /** Format: date-time */
            addedAt: string;
            lastUsedAt: string | null;
        };
        /** @description PublicKeyCredentialCreationOptionsJSON of WebAuthn. */
        PasskeyCreation: {
            rp: {
                id: string;
                name: string;
            };
            user: {
                id: string;
                name: string;
                displayName: string;
            };
            challenge: string;
            pubKeyCredParams: {
                /** @constant */
                type: "public-key";
                alg: number;
            }[];
            timeout: number;
            /** @constant */
            attestation: "none";
            excludeCredentials: {
                id: string;
                /** @constant */
                type: "public-key";
                transports?: string[];
            }[];
            authenticatorSelection: {
                /** @constant */
                residentKey: "required";
                /** @constant */
                requireResidentKey: true;
                /** @constant */
                userVerification: "required";
            };
        };
        Person: {
            name: string;
            /** @enum {string} */
            role: "viewer" | "operator" | "admin" | "server" | "domain";
            domains: string[];
            disabled: boolean;
            hasPassword: boolean;
            secondFactor: boolean;
            passkeys: number;
            /** @description Until when a link works that lets them set a password. */
            linkUntil: string | null;
            addedAt: string | null;
            sessions: number;
            /** @description When one of the sessions was last used. */
            usedAt: string | null;
        };
        PersonLink: {
            /** @description Lets them set a password, once. Relative to the page where api.publicUrl is not set. */
            link: string;
            /** Format: date-time */
            until: string;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    get_api_v1: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description One item a route */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: {
                            method: string;
                            path: string;
                            summary: string;
                            role: string | null;
                            /**
                             * @description For the role domain. own: what concerns its domains; all: as for others; none: not let in.
                             * @enum {string}
                             */
                            scope: "own" | "all" | "none";
                        }[];
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_openapi_json: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The document */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        openapi: string;
                    } & {
                        [key: string]: unknown;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_root: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/html": string;
                };
            };
            /** @description It is the one that the client has */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_assets_file: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                file: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The file */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/javascript": string;
                    "text/css": string;
                    "image/svg+xml": string;
                };
            };
            /** @description It is the one that the client has */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_overview: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The overview */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** Format: date-time */
                        now: string;
                        proposals: {
                            waiting: number;
                            oldestAt: string | null;
                            /** @description So many lapse within a day. */
                            lapsing: number;
                        };
                        blocks: {
                            active: number;
                        };
                        /** @description What GET /healthz tells of this process, for the page, to which a reverse proxy may not pass that. Null is what it does not tell. With the role domain readModels alone. */
                        health: {
                            readModels: string;
                            store: string | null;
                            relay: string | null;
                            redis: string | null;
                            quarantine: number | null;
                            clockSkewSeconds: number | null;
                        };
                        /** @description Senders that a rule has tripped on, and that are not blocked, proposed or exempt: rules only observe, or no detector acts. One that is proposed is among them once a rule that blocks has tripped on it later. And blocked ones whose mail has gone past their block within a day. */
                        unstopped: {
                            senders: number;
                            /** @description So many of them are blocked. */
                            blocked: number;
                            /** @description Why, and what to do; null where there are none. */
                            sentence: string | null;
                            /** @description The first 10 of them: accounts, then addresses, domains, networks and EHLO names. */
                            items: {
                                subject: components["schemas"]["Subject"];
                                rule: string | null;
                                /** @description The id of the block that its mail goes past; null where it is not blocked. */
                                block: string | null;
                            }[];
                        };
                        /** @description Blocks that have ended while mail was on hold for them, and on whose mail nobody has decided. With the role domain those of accounts alone. */
                        held: {
                            blocks: number;
                            /** @description What it means; null where there are none. */
                            sentence: string | null;
                            /** @description The first 10 of them. */
                            items: {
                                block: string;
                                subject: components["schemas"]["Subject"];
                            }[];
                        };
                        /** @description By blocks, one a minute: the last hour, oldest first; the last one is not over. */
                        refusals: number[];
                        /** @description When a message was last taken or refused; null before the first, and for the role domain. */
                        lastMailAt: string | null;
                        /** @description How far what is shown may be behind the store. */
                        behindSeconds: number;
                        /** @enum {string} */
                        mode: "enforce" | "observe";
                        /** @description Of the whole server: null for the role domain. */
                        breaker: {
                            open: boolean;
                            /** @description Which blocks it counts; null where it is closed. */
                            name: string | null;
                            since: string | null;
                            /** @description When it closes if no more blocks come. */
                            until: string | null;
                            /** @description Automatic blocks within the window, of the fullest breaker. */
                            blocks: number;
                            max: number;
                            /** @example 1h30m */
                            window: string;
                            sentence: string;
                        } | null;
                        /** @description Accounts, the closest to a limit first, each with the rule it is closest to. */
                        busiest: {
                            subject: components["schemas"]["Subject"];
                            rule: string;
                            count: string;
                            /** @example 1h30m */
                            window: string;
                            /** @description All that is within the window. */
                            observed: number;
                            /** @description Median of its weekly peaks; null where unknown. */
                            usual: number | null;
                            limit: number;
                            /** @description observed as a share of the limit. */
                            share: number;
                            blocked: boolean;
                        }[];
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_blocks: {
        parameters: {
            query?: {
                /** @description Any of proposed, active, released, expired, dismissed, lapsed; repeated, or separated by commas. */
                state?: string | string[];
                /** @description Any of account, address, domain, ehlo, ip; repeated, or separated by commas. */
                type?: string | string[];
                /** @description The subject, exactly; compared in normal form. */
                value?: string;
                /** @description Text within the subject or the description, in any case. */
                q?: string;
                /** @description How the id begins. */
                id?: string;
                rule?: string;
                origin?: "rule" | "admin";
                direction?: "outbound" | "inbound" | "all";
                /** @description Proposed, or came into force, at this instant or later. */
                since?: string;
                /** @description Proposed, or came into force, before this instant. With since: one of the two lies between. */
                until?: string;
                /** @description A past instant: what was in force or proposed then, as it was then. */
                at?: string;
                /** @description newest, oldest: by when it began; since: in force or proposed last; until: ends first; refused: refused most; subject: by name. */
                sort?: "newest" | "oldest" | "since" | "until" | "refused" | "subject";
                /** @description Also counts all that match. */
                total?: "true";
                limit?: string;
                /** @description What next of the page before said. */
                cursor?: string;
                /** @description csv or ndjson: all that match, newest first unless sort=oldest; limit and cursor do not count. Unless given, Accept says. */
                format?: "json" | "csv" | "ndjson";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description One page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["ListedBlock"][];
                        /** @description Cursor of the next page; null at the end. */
                        next: string | null;
                        /** @description All that match, where total=true asks for it. */
                        total?: number;
                    };
                    "text/csv": string;
                    "application/x-ndjson": string;
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_blocks: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    subject: {
                        /** @enum {string} */
                        type: "account" | "address" | "domain" | "ehlo" | "ip";
                        value: string;
                    };
                    /**
                     * @default outbound
                     * @enum {string}
                     */
                    direction?: "outbound" | "inbound" | "all";
                    description?: string;
                    /**
                     * @description soft unless given; a block in force keeps its own.
                     * @enum {string}
                     */
                    refusal?: "soft" | "defer" | "honest" | "hold";
                    duration?: string;
                    until?: string;
                    /** @constant */
                    indefinite?: true;
                };
            };
        };
        responses: {
            /** @description The block that was in force already, with all that was asked for */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Block"];
                };
            };
            /** @description The block that is in force now */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Block"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_blocks_actions: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    note?: string;
                    duration?: string;
                    until?: string;
                    /** @constant */
                    indefinite?: true;
                    /** @constant */
                    action: "approve";
                    ids: string[];
                } | {
                    note?: string;
                    /**
                     * @description The rule was wrong: what was sent is learnt as usual, and the block does not count when later ones grow.
                     * @default false
                     */
                    falsePositive?: boolean;
                    /** @constant */
                    action: "dismiss";
                    ids: string[];
                } | {
                    note?: string;
                    /**
                     * @description The rule was wrong: what was sent is learnt as usual, and the block does not count when later ones grow.
                     * @default false
                     */
                    falsePositive?: boolean;
                    /**
                     * @description What becomes of the mail that is held for the block; keep withdraws what was decided. Unless given, release for a false positive, else what was decided before.
                     * @enum {string}
                     */
                    held?: "release" | "delete" | "keep";
                    /** @constant */
                    action: "release";
                    ids: string[];
                };
            };
        };
        responses: {
            /** @description What became of each */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: {
                            /** @description As it was sent. */
                            id: string;
                            /** @description What the request for this one alone would have been answered with; 200 too for what was decided before. */
                            status: number;
                            /**
                             * @description How it was decided before, and by whom: nothing was done. Else null.
                             * @example released already, by alice
                             */
                            already: string | null;
                            /** @description The block as it is now; null where it is a problem. */
                            block: components["schemas"]["Block"] | null;
                            /** @description Why nothing was done. */
                            problem: {
                                code: string | null;
                                detail: string;
                            } | null;
                        }[];
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_blocks_id: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The block */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Block"];
                };
            };
            /** @description It is still at the version that If-None-Match names */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    patch_blocks_id: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
                /** @description Only while the thing is at this version. */
                "If-Match"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    duration?: string;
                    until?: string;
                    /** @constant */
                    indefinite?: true;
                    description?: string;
                    /** @enum {string} */
                    refusal?: "soft" | "defer" | "honest" | "hold";
                    note?: string;
                };
            };
        };
        responses: {
            /** @description The block as it is now */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Block"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_blocks_id_approve: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
                /** @description Only while the thing is at this version. */
                "If-Match"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    note?: string;
                    duration?: string;
                    until?: string;
                    /** @constant */
                    indefinite?: true;
                };
            };
        };
        responses: {
            /** @description The block as it is now */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Block"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_blocks_id_dismiss: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
                /** @description Only while the thing is at this version. */
                "If-Match"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    note?: string;
                    /**
                     * @description The rule was wrong: what was sent is learnt as usual, and the block does not count when later ones grow.
                     * @default false
                     */
                    falsePositive?: boolean;
                };
            };
        };
        responses: {
            /** @description The block as it is now */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Block"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_blocks_id_release: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
                /** @description Only while the thing is at this version. */
                "If-Match"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    note?: string;
                    /**
                     * @description The rule was wrong: what was sent is learnt as usual, and the block does not count when later ones grow.
                     * @default false
                     */
                    falsePositive?: boolean;
                    /**
                     * @description What becomes of the mail that is held for the block; keep withdraws what was decided. Unless given, release for a false positive, else what was decided before.
                     * @enum {string}
                     */
                    held?: "release" | "delete" | "keep";
                };
            };
        };
        responses: {
            /** @description The block as it is now */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Block"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_blocks_id_held: {
        parameters: {
            query?: {
                limit?: string;
                /** @description What next of the page before said. */
                cursor?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description One page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description Messages that are held. */
                        count: number;
                        decided: components["schemas"]["HeldDecision"];
                        items: components["schemas"]["HeldMessage"][];
                        /** @description Cursor of the next page; null at the end. */
                        next: string | null;
                        /** @description Whether mail of accounts of other domains is held too, which the role domain neither sees nor decides on: an operator does. */
                        others: boolean;
                        /** @description Whether the block is in force and holds as much as one may (1,000 messages or 1 GiB): more mail is told to come again. */
                        full: boolean;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_blocks_id_held: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
                /** @description Only while the thing is at this version. */
                "If-Match"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    note?: string;
                    /** @enum {string} */
                    action: "release" | "delete" | "keep";
                };
            };
        };
        responses: {
            /** @description The block as it is now */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Block"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_blocks_id_report: {
        parameters: {
            query?: {
                /** @description text: a letter to the customer. Unless given, Accept says. */
                format?: "json" | "text";
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The report; as text/plain a letter that can be sent to the customer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ContainmentReport"];
                    "text/plain": string;
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_blocks_id_refusals: {
        parameters: {
            query?: {
                limit?: string;
                /** @description What next of the page before said. */
                cursor?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description One page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Refusal"][];
                        /** @description Cursor of the next page; null at the end. */
                        next: string | null;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_exemptions: {
        parameters: {
            query?: {
                /** @description Any of account, address, domain, ehlo, ip; repeated, or separated by commas. */
                type?: string | string[];
                origin?: "rules" | "admin";
                limit?: string;
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description One page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Exemption"][];
                        /** @description Cursor of the next page; null at the end. */
                        next: string | null;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_exemptions: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    subject: {
                        /** @enum {string} */
                        type: "account" | "address" | "domain" | "ehlo" | "ip";
                        value: string;
                    };
                    reason: string;
                    duration?: string;
                    until?: string;
                    /** @constant */
                    indefinite?: true;
                };
            };
        };
        responses: {
            /** @description The very same exemption was in force already */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["GrantedExemption"];
                };
            };
            /** @description The exemption */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["GrantedExemption"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_exemptions_id: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The exemption */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Exemption"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    delete_exemptions_id: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    note?: string;
                };
            };
        };
        responses: {
            /** @description It is revoked */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_overrides: {
        parameters: {
            query?: {
                /** @description Any of account, domain; repeated, or separated by commas. */
                type?: string | string[];
                /** @description How the account or domain begins, in normal form. */
                prefix?: string;
                limit?: string;
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description One page, accounts before domains */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Override"][];
                        /** @description Cursor of the next page; null at the end. */
                        next: string | null;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    put_overrides: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": unknown[];
                "application/x-ndjson": string;
            };
        };
        responses: {
            /** @description What was changed; a fault in one entry changes none */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        set: number;
                        removed: number;
                        unchanged: number;
                        /** @description Limits that no rule in force looks at: the first 100. */
                        unused: {
                            /** @example limits.burst */
                            field: string;
                            message: string;
                            subject: {
                                type: string;
                                value: string;
                            };
                        }[];
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_overrides_type_value: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                type: string;
                value: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The overrides; none is no error */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OverrideDetail"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    put_overrides_type_value: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
                /** @description Only while the thing is at this version. */
                "If-Match"?: string;
            };
            path: {
                type: string;
                value: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    limits?: {
                        [key: string]: number | "off";
                    };
                    factor?: number;
                    total?: {
                        limits?: {
                            [key: string]: number | "off";
                        };
                        factor?: number;
                    };
                    until?: string | null;
                    reason?: string;
                    plan?: string;
                };
            };
        };
        responses: {
            /** @description It is replaced, or was so already */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OverrideDetail"];
                };
            };
            /** @description It had none of the API */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OverrideDetail"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    delete_overrides_type_value: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
                /** @description Only while the thing is at this version. */
                "If-Match"?: string;
            };
            path: {
                type: string;
                value: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    note?: string;
                };
            };
        };
        responses: {
            /** @description It is removed */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_rules: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The rules */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Rules"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    put_rules: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
                /** @description Only while the thing is at this version. */
                "If-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    source: string;
                } | ({
                    version: unknown;
                } & {
                    [key: string]: unknown;
                });
                "application/yaml": string;
            };
        };
        responses: {
            /** @description The rules that are in force now */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Rules"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_rules_precision: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Those in force, and the last 200 that are gone */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["RulePrecision"][];
                        /** @description Cursor of the next page; null at the end. */
                        next: string | null;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_rules_validate: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    source: string;
                } | ({
                    version: unknown;
                } & {
                    [key: string]: unknown;
                });
                "application/yaml": string;
            };
        };
        responses: {
            /** @description Whether it is valid, and every fault */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        valid: boolean;
                        faults: components["schemas"]["RuleFault"][];
                        /** @description What is valid and will not do what it is meant to here, a sentence each. */
                        warnings: string[];
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_rules_observed: {
        parameters: {
            query?: {
                rule?: string;
                /** @description Any of account, address, domain, ehlo, ip; repeated, or separated by commas. */
                type?: string | string[];
                /** @description Observed at this instant or later. */
                since?: string;
                limit?: string;
                /** @description What next of the page before said. */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Of the newest 1000 */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Observed"][];
                        /** @description Cursor of the next page; null at the end. */
                        next: string | null;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_rules_shadow: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The shadow rules */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ShadowRules"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    put_rules_shadow: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
                /** @description Only while the thing is at this version. */
                "If-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    source: string;
                } | ({
                    version: unknown;
                } & {
                    [key: string]: unknown;
                });
                "application/yaml": string;
            };
        };
        responses: {
            /** @description What runs in the shadow now, instead of another */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ShadowRules"];
                };
            };
            /** @description What runs in the shadow now */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ShadowRules"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    delete_rules_shadow: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
                /** @description Only while the thing is at this version. */
                "If-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Nothing runs in the shadow */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_rules_shadow_differences: {
        parameters: {
            query?: {
                /** @description Any of shadowOnly, liveOnly, stronger, weaker; repeated, or separated by commas. */
                kind?: string | string[];
                /** @description Id of the rule that tripped, of either set. */
                rule?: string;
                limit?: string;
                /** @description What next of the page before said. */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The newest thousand, and those not settled */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["ShadowDifference"][];
                        /** @description Cursor of the next page; null at the end. */
                        next: string | null;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_rules_shadow_promote: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
                /** @description Only while the thing is at this version. */
                "If-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The rules that are in force now */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Rules"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_backtests: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description All of them */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Backtest"][];
                        /** @description Cursor of the next page; null at the end. */
                        next: string | null;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_backtests: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    from?: string;
                    to?: string;
                    /** @description A rule set, as YAML text or as an object; or in-force, or defaults. */
                    rules?: string | ({
                        version: unknown;
                    } & {
                        [key: string]: unknown;
                    });
                    /** @description A rule set, as YAML text or as an object; or in-force, or defaults. */
                    against?: string | ({
                        version: unknown;
                    } & {
                        [key: string]: unknown;
                    });
                };
            };
        };
        responses: {
            /** @description It has begun */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Backtest"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_backtests_id: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The back-test */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Backtest"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    delete_backtests_id: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The back-test as it then is, or last was */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Backtest"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_senders: {
        parameters: {
            query?: {
                by?: "account" | "address" | "domain" | "ehlo" | "ip";
                count?: "messages" | "recipients" | "bytes" | "refusedRecipients" | "bounces" | "authFailures";
                limit?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Busiest first; empty where no rule counts this */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: {
                            subject: components["schemas"]["Subject"];
                            count: string;
                            amount: number;
                            /** @description The longest window in which a rule counts it. */
                            window: string;
                            /** @description Id of the block on just this subject. */
                            block: string | null;
                        }[];
                        /** @description Cursor of the next page; null at the end. */
                        next: string | null;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_senders_type_value: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                type: string;
                value: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The sender; one never seen has empty windows */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        subject: components["schemas"]["Subject"];
                        windows: components["schemas"]["Window"][];
                        /** @description What an account or a domain usually does; null where nothing is known yet. */
                        usual: components["schemas"]["Profile"] | null;
                        standing: {
                            block: components["schemas"]["Block"] | null;
                            proposal: components["schemas"]["Block"] | null;
                            exemption: components["schemas"]["Cover"] | null;
                        };
                        /** @description Newest first, at most 50; the standing ones too. */
                        blocks: components["schemas"]["Block"][];
                        sends: {
                            available: boolean;
                            note: string | null;
                            /** @description Newest first, at most 50. */
                            items: {
                                position: number;
                                type: string;
                                at: string;
                                data: unknown;
                            }[];
                        };
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_senders_type_value_volume: {
        parameters: {
            query?: {
                /** @description A day before `to` unless given. */
                from?: string;
                /** @description Now unless given. */
                to?: string;
                step?: string;
            };
            header?: never;
            path: {
                type: string;
                value: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The series */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        subject: components["schemas"]["Subject"];
                        /** Format: date-time */
                        from: string;
                        /** Format: date-time */
                        to: string;
                        /** @example 1h30m */
                        step: string;
                        available: boolean;
                        /** @description Why it is not available; null where it is. */
                        note: string | null;
                        /** @description One a step, oldest first, also where there was nothing. */
                        items: {
                            /**
                             * Format: date-time
                             * @description When the step begins.
                             */
                            at: string;
                            messages: number;
                            recipients: number;
                            bytes: number;
                            /** @description By the mail server behind. */
                            refusedRecipients: number;
                            /** @description By blocks. */
                            refusals: number;
                        }[];
                        /** @description Null where all is counted; else there were too many events to read, and later ones are left out. */
                        coveredUntil: string | null;
                        /** @description Null where all is kept; else what came before this instant has outlived its retention. */
                        keptSince: string | null;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_changes: {
        parameters: {
            query?: {
                /** @description Who, with or without `admin:`. */
                by?: string;
                /** @description Any of BlockImposed, BlockExtended, BlockShortened, BlockReleased, HeldMailDecided, ProposalApproved, ProposalDismissed, ExemptionGranted, ExemptionRevoked, OverrideSet, OverrideRemoved, RulesChanged, ShadowRulesChanged, ShadowRulesRemoved, ShadowRulesPromoted, PersonChanged, PersonForgotten; repeated, or separated by commas. */
                type?: string | string[];
                /** @description The subject, exactly; compared in normal form. */
                value?: string;
                /** @description Any of page, cli, api, other; repeated, or separated by commas. */
                via?: string | string[];
                since?: string;
                /** @description Before this instant. */
                until?: string;
                limit?: string;
                /** @description What next of the page before said. */
                cursor?: string;
                /** @description csv or ndjson: all that match, newest first unless sort=oldest; limit and cursor do not count. Unless given, Accept says. */
                format?: "json" | "csv" | "ndjson";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description One page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Change"][];
                        /** @description Cursor of the next page; null at the end. */
                        next: string | null;
                    };
                    "text/csv": string;
                    "application/x-ndjson": string;
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_check: {
        parameters: {
            query?: {
                account?: string;
                /** @description The MAIL FROM address; empty is the null sender. */
                returnPath?: string;
                ehlo?: string;
                ip?: string;
                direction?: "outbound" | "inbound";
                /** @description A past instant; now unless given. */
                at?: string;
                /** @description What the mail program of the account showed, such as "535 5.7.8 failed". */
                said?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The verdict, explained */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        refused: boolean;
                        at: string;
                        sender: {
                            /** @description What its logins count for, as far as this process knows: a back end may give the account another name. */
                            account: string | null;
                            returnPath: string | null;
                            ehlo: string | null;
                            ip: string | null;
                            /** @enum {string} */
                            direction: "outbound" | "inbound";
                        };
                        /** @description Null where no account is named, of a past instant, and where this process has no users file: the sentence says so. */
                        accountState: ("active" | "disabled" | "unknown") | null;
                        /** @description Logins of this account that failed for no block, until an hour passes without one; null where there are none, of a time more than an hour before the first of them, and from a process that sees no logins. */
                        failedLogins: {
                            /** @description With a wrong password. */
                            failed: number;
                            /** @description With 454, untried: too many logins from their network had failed. */
                            putOff: number;
                            /** @description When the first of them was. */
                            since: string;
                            /** @description When the last one was. */
                            at: string;
                            /** @description The client network that the last one came from. */
                            network: string;
                        } | null;
                        /** @description What the mail server behind refused of this account within a day, among its last events, and since the start what no rule counts; null where nothing was, no account is named, or the store cannot be read now. */
                        behind: {
                            /** @description Recipients. */
                            count: number;
                            /** @description When the last one was refused. */
                            at: string;
                            /** @description What the mail server answered then. */
                            code: number;
                        } | null;
                        sentence: string;
                        /** @description The one that refuses: of several, the one that ends last. */
                        block: components["schemas"]["Block"] | null;
                        auth: components["schemas"]["Stage"];
                        /** @description Whether smtp.senders lets the account use the return path: asked where both are named, in a process with the role smtp. */
                        mail: components["schemas"]["Stage"];
                        rcpt: components["schemas"]["Stage"];
                        said: components["schemas"]["Said"];
                        /** @description The mail that is held for blocks of this account, or that its mail met, also for those that have ended; null where no account is named, of a past instant, or if the store cannot be read now. */
                        held: {
                            block: string;
                            /** @description Messages. */
                            count: number;
                        }[] | null;
                        /** @description The last refusals of this account, newest first, at most 5; null where no account is named, or the store cannot be read now. */
                        refusals: {
                            at: string;
                            /** @enum {string} */
                            stage: "auth" | "rcpt" | "data";
                            block: string;
                            reply: string;
                            /**
                             * @description It was to be held, and was not.
                             * @constant
                             */
                            unheld?: true;
                            /**
                             * @description Of unheld: the block held as much as one may; else the mail server could not hold it.
                             * @constant
                             */
                            full?: true;
                            returnPath: string | null;
                            ehlo: string | null;
                            ip: string | null;
                            /** @description How many it stands for. */
                            count: number;
                        }[] | null;
                        /** @description Every block in force that covers this sender. */
                        matching: components["schemas"]["Block"][];
                        /** @description Every proposal that waits for a decision and covers this sender; null for a past instant. */
                        proposals: components["schemas"]["Block"][] | null;
                        /** @description What keeps rules from acting; null for a past instant. */
                        exemptions: components["schemas"]["Cover"][] | null;
                        /** @description Null for a past instant: only the present ones are kept. */
                        windows: components["schemas"]["Window"][] | null;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_forget: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    subject: {
                        /**
                         * @description Where the name is both, both are forgotten.
                         * @enum {string}
                         */
                        type: "account" | "address";
                        value: string;
                    };
                };
            };
        };
        responses: {
            /** @description They are forgotten */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Forgotten"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_storage: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description By category */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Storage"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_decide: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @description The login; empty or absent without one. */
                    account?: string | null;
                    /** @description The MAIL FROM address; empty is the null sender. */
                    returnPath?: string | null;
                    ehlo?: string | null;
                    ip?: string | null;
                    /**
                     * @description outbound with an account, or from policy.ownNetworks; else inbound.
                     * @enum {string}
                     */
                    direction?: "outbound" | "inbound";
                    /**
                     * @description auth: the password was right. rcpt, data: mail is sent.
                     * @default rcpt
                     * @enum {string}
                     */
                    stage?: "auth" | "rcpt" | "data";
                    /** @description Ties the record of a refusal to its message. */
                    id?: string | null;
                    /**
                     * @description Whether you can take this mail and hold it. If not, you are told to refuse it in place of a hold.
                     * @default false
                     */
                    holds?: boolean;
                };
            };
        };
        responses: {
            /** @description The verdict */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Decision"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_sends: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": ({
                    /** @constant */
                    type: "accepted";
                    /** @description Yours: the same for the same event, however often you send it. */
                    id: string;
                    /** @description When it happened: now unless given, at most a day ago. */
                    at?: string;
                    /** @description Under which the mail server has queued it. All who tell of that queue id on that day tell of one message. */
                    queueId?: string;
                    /** @description The login; empty or absent without one. */
                    account?: string | null;
                    /** @description The MAIL FROM address; empty is the null sender. */
                    returnPath?: string | null;
                    ehlo?: string | null;
                    ip?: string | null;
                    /**
                     * @description outbound with an account, or from policy.ownNetworks; else inbound.
                     * @enum {string}
                     */
                    direction?: "outbound" | "inbound";
                    /** @default 1 */
                    recipients?: number;
                    /**
                     * @description Bytes.
                     * @default 0
                     */
                    size?: number;
                    /** @description The first 20 different ones are kept. */
                    recipientDomains?: string[];
                    /** @description That of its queueId was reported when not all recipients were known. `recipients` is how many it has: those that are not recorded yet are. */
                    further?: boolean;
                } | {
                    /** @constant */
                    type: "recipients-refused";
                    /** @description Yours: the same for the same event, however often you send it. */
                    id: string;
                    /** @description When it happened: now unless given, at most a day ago. */
                    at?: string;
                    /** @description Under which the mail server has queued it. All who tell of that queue id on that day tell of one message. */
                    queueId?: string;
                    /** @description The login; empty or absent without one. */
                    account?: string | null;
                    /** @description The MAIL FROM address; empty is the null sender. */
                    returnPath?: string | null;
                    ehlo?: string | null;
                    ip?: string | null;
                    /**
                     * @description outbound with an account, or from policy.ownNetworks; else inbound.
                     * @enum {string}
                     */
                    direction?: "outbound" | "inbound";
                    /**
                     * @description So many recipients do not exist.
                     * @default 1
                     */
                    count?: number;
                    /** @default 550 */
                    code?: number;
                } | {
                    /** @constant */
                    type: "bounce";
                    /** @description Yours: the same for the same event, however often you send it. */
                    id: string;
                    /** @description When it happened: now unless given, at most a day ago. */
                    at?: string;
                    /** @description The local address whose mail came back. */
                    address: string;
                    ip?: string | null;
                } | {
                    /** @constant */
                    type: "login-failed";
                    /** @description Yours: the same for the same event, however often you send it. */
                    id: string;
                    /** @description When it happened: now unless given, at most a day ago. */
                    at?: string;
                    account?: string | null;
                    ip?: string | null;
                    /**
                     * @description So many failed alike.
                     * @default 1
                     */
                    count?: number;
                } | {
                    /** @constant */
                    type: "returned";
                    /** @description Yours: the same for the same event, however often you send it. */
                    id: string;
                    /** @enum {string} */
                    kind: "failed" | "complaint";
                    status?: string;
                    /** @description By which the message may be known here: transactions, queue ids, envelope ids. */
                    ids: string[];
                    /** @description Logins and addresses that may have sent it. */
                    senders: string[];
                })[];
                "application/x-ndjson": string;
            };
        };
        responses: {
            /** @description What became of each item */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        recorded: number;
                        known: number;
                        refused: number;
                        /** @description One for each item, in their order. */
                        results: {
                            /** @description Null where the item has none. */
                            id: string | null;
                            /** @enum {string} */
                            result: "recorded" | "known" | "unproven" | "refused" | "unavailable";
                            errors?: {
                                field: string;
                                message: string;
                            }[];
                        }[];
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_rspamd_token_blocked: {
        parameters: {
            query: {
                key: string;
            };
            header?: never;
            path: {
                token: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Blocked */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_rspamd_token_sent: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path: {
                token: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    user?: unknown;
                    from?: unknown;
                    ip?: unknown;
                    helo?: unknown;
                    qid?: unknown;
                    action?: unknown;
                    rcpt?: unknown;
                    recipients?: unknown;
                    size?: unknown;
                } & {
                    [key: string]: unknown;
                };
            };
        };
        responses: {
            /** @description What became of it */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @enum {string} */
                        result: "recorded" | "known" | "skipped";
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_feigned: {
        parameters: {
            query: {
                ip: string;
                within?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The counts */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description An IPv4 address or an IPv6 /64: failures are counted by it. */
                        network: string;
                        since: string;
                        /** @description Logins that a block made fail. */
                        feigned: number;
                        /** @description Wrong passwords. */
                        genuine: number;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_notices: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Every channel of the configuration */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        channels: components["schemas"]["NoticeChannel"][];
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_notices_test: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    channel: string;
                };
            };
        };
        responses: {
            /** @description Nothing was sent: the channel tells owners alone, who are customers */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        channel: string;
                        /** @description What a test would say, if it were sent. */
                        wouldSay: string;
                    };
                };
            };
            /** @description It is sent */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        id: string;
                        channel: string;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_notices_id_resend: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is sent */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        id: string;
                        channel: string;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_events: {
        parameters: {
            query?: {
                /** @description Any of block, rules, override, send, held, auth; repeated, or separated by commas. */
                categories?: string | string[];
                /** @description Any of BlockProposed, ProposalApproved, ProposalDismissed, ProposalLapsed, BlockImposed, BlockExtended, BlockShortened, BlockReleased, BlockExpired, HeldMailDecided, HookRan, ExemptionGranted, ExemptionRevoked, ExemptionApplied, RuleObserved, RulesChanged, ShadowRulesChanged, ShadowRulesRemoved, ShadowRulesPromoted, OverrideSet, OverrideRemoved, MessageAccepted, RecipientsRefused, MessageRefused, BounceReceived, MessageHeld, HeldMailMoved, HookCalled, AuthenticationFailed; repeated, or separated by commas. */
                types?: string | string[];
                /** @description Position to start behind; 0 is the beginning; only what comes next unless given. */
                after?: string;
            };
            header?: {
                /** @description Position of the last event received. */
                "Last-Event-ID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A stream: id is the position, event the type, data a FeedEvent as JSON */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": components["schemas"]["FeedEvent"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_sign_in: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description All of them */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WaysToSignIn"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_sign_in: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    name: string;
                    password: string;
                    /** @description The time-based code, or a recovery code, of a person who has them. */
                    code?: string;
                };
            };
        };
        responses: {
            /** @description Who has signed in */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Who"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_sign_in_evaluation: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Who has signed in */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Who"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_sign_in_first: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    token: string;
                    name: string;
                    password: string;
                };
            };
        };
        responses: {
            /** @description Who has signed in */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Who"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_sign_in_link: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    token: string;
                    password: string;
                    code?: string;
                };
            };
        };
        responses: {
            /** @description Who has signed in */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Who"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_session: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Who asks */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Who"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    delete_session: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It has ended */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_sessions: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description All of them */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Session"][];
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    delete_sessions_id: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It has ended, and its event feeds with it */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    put_session_password: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    password: string;
                    newPassword: string;
                };
            };
        };
        responses: {
            /** @description Who asks */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Who"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    put_session_second_factor: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    code: string;
                };
            };
        };
        responses: {
            /** @description Codes for when the authenticator is lost */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RecoveryCodes"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_session_second_factor: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    password: string;
                };
            };
        };
        responses: {
            /** @description What an authenticator needs */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["NewSecondFactor"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    delete_session_second_factor: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    password: string;
                };
            };
        };
        responses: {
            /** @description It is removed, and the session has another cookie */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_sign_in_passkey_begin: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description For navigator.credentials.get() */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PasskeyRequest"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_sign_in_passkey: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @description What navigator.credentials.get() gave, as JSON. */
                    credential: {
                        id: string;
                        rawId: string;
                        /** @constant */
                        type: "public-key";
                        response: {
                            clientDataJSON: string;
                            authenticatorData: string;
                            signature: string;
                            userHandle?: string | null;
                        };
                    };
                };
            };
        };
        responses: {
            /** @description Who has signed in */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Who"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_session_passkeys: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description All */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Passkey"][];
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_session_passkeys: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    name: string;
                    /** @description What navigator.credentials.create() gave, as JSON. */
                    credential: {
                        id: string;
                        rawId: string;
                        /** @constant */
                        type: "public-key";
                        response: {
                            clientDataJSON: string;
                            attestationObject: string;
                            transports?: string[];
                        };
                    };
                };
            };
        };
        responses: {
            /** @description The passkey */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Passkey"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_session_passkeys_begin: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    name: string;
                    password: string;
                };
            };
        };
        responses: {
            /** @description For navigator.credentials.create() */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PasskeyCreation"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    delete_session_passkeys_id: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    password: string;
                };
            };
        };
        responses: {
            /** @description It is removed */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_people: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description All of them */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Person"][];
                        /** @description Whether their file can be written here. */
                        changeable: boolean;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_people: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    name: string;
                    /** @enum {string} */
                    role: "viewer" | "operator" | "admin" | "domain";
                    domains?: string[];
                };
            };
        };
        responses: {
            /** @description The person, and their link */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        person: components["schemas"]["Person"];
                        link: components["schemas"]["PersonLink"];
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_people_name_link: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The link */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PersonLink"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    delete_people_name_passkeys: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description They have none */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    delete_people_name: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description They are removed */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    patch_people_name: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @enum {string} */
                    role?: "viewer" | "operator" | "admin" | "domain";
                    domains?: string[];
                    disabled?: boolean;
                };
            };
        };
        responses: {
            /** @description The person */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Person"];
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_log_level: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The levels */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description of all components without one of their own
                         * @enum {string}
                         */
                        level: "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "silent";
                        /**
                         * @description as the process was started with
                         * @enum {string}
                         */
                        configured: "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "silent";
                        /** @description those that differ */
                        components: {
                            [key: string]: "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "silent";
                        };
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    put_log_level: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @enum {string} */
                    level: "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "silent";
                    /** @enum {string} */
                    component?: "app" | "smtp" | "policy" | "relay" | "rules" | "api" | "store" | "expiry" | "hooks" | "notices" | "snapshots" | "files";
                };
            };
        };
        responses: {
            /** @description The levels as they are now */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description of all components without one of their own
                         * @enum {string}
                         */
                        level: "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "silent";
                        /**
                         * @description as the process was started with
                         * @enum {string}
                         */
                        configured: "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "silent";
                        /** @description those that differ */
                        components: {
                            [key: string]: "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "silent";
                        };
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_log: {
        parameters: {
            query?: {
                limit?: string;
                level?: "fatal" | "error" | "warn" | "info" | "debug" | "trace";
                component?: "app" | "smtp" | "policy" | "relay" | "rules" | "api" | "store" | "expiry" | "hooks" | "notices" | "snapshots" | "files";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The lines */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description oldest first */
                        items: ({
                            time: string;
                            level: string;
                            msg?: string;
                        } & {
                            [key: string]: unknown;
                        })[];
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    post_outbox_retry: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key with the same request gives the first answer again. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    /** @description Ids of events in quarantine; all of them where it is left out. */
                    ids?: string[];
                };
            };
        };
        responses: {
            /** @description They wait for the store */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description So many events wait for the store again. */
                        retried: number;
                        /** @description So many are still in quarantine. */
                        quarantine: number;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_healthz: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The details */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @enum {string} */
                        status: "starting" | "rebuilding" | "ok" | "degraded";
                        store: string;
                        relay: string;
                        redis?: string;
                        readModels: string;
                        listeners: string;
                        position: number;
                    } & {
                        [key: string]: unknown;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_readyz: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Ready */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        ready: boolean;
                        readModels: string;
                        listeners: string;
                        reason?: string;
                        events?: number;
                        position?: number;
                        head?: number | null;
                        percent?: number | null;
                    };
                };
            };
            /** @description Not ready */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        ready: boolean;
                        readModels: string;
                        listeners: string;
                        reason?: string;
                        events?: number;
                        position?: number;
                        head?: number | null;
                        percent?: number | null;
                    };
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_metrics: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Metrics */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                    "application/openmetrics-text": string;
                };
            };
            /** @description A problem (RFC 9457) */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
}
