//! Users: invitations, passwords, second factors, waiting, sessions.

use base::secret::Secret;
use futures_util::future::join_all;
use identity::invitations::Acceptance;
use identity::locks::LockTarget;
use identity::sessions::{NewSession, SESSION_IDLE, SESSION_LIFE, SignIn};
use identity::users::SecondFactor;
use identity::{IdentityError, PasswordError, Refusal};

use crate::site::{HOUR, Opened, PASSWORD, Site, new_user, operator, refusal};

crate::on_both! {
    the_first_start_invites_one_administrator,
    an_administrator_by_another_way_ends_the_first_link,
    an_invitation_counts_once,
    a_reset_ends_what_was,
    a_session_lives_as_long_as_it_is_used_and_no_longer,
    wrong_passwords_cost_time_and_tell_nothing,
    attempts_at_once_count_too,
    a_code_counts_once,
    a_session_is_carried_to_one_host,
    a_locked_user_is_out_at_once,
    passwords_change_for_those_who_know_them,
    the_last_administrator_stays,
}

fn accept(secret: &Secret, user: &str, password: &str) -> Acceptance {
    Acceptance {
        secret: secret.clone(),
        user: user.to_owned(),
        password: Secret::new(password),
        address: None,
    }
}

fn sign_in(name: &str, password: &str, code: Option<&str>) -> SignIn {
    SignIn {
        name: name.to_owned(),
        password: Secret::new(password),
        code: code.map(Secret::new),
        address: Some("203.0.113.5".parse().unwrap()),
        client: "test".to_owned(),
    }
}

async fn enter(opened: &Opened, name: &str) -> Result<NewSession, IdentityError> {
    let sessions = opened.identity.sessions();
    sessions.sign_in(&sign_in(name, PASSWORD, None)).await
}

async fn the_first_start_invites_one_administrator(site: &Site) {
    let (first, second) = (site.open().await, site.open().await);
    let old = first.identity.first_start().await.unwrap().unwrap();
    let one = second.identity.first_start().await.unwrap().unwrap();
    // A later start prints a new link, and the one before it ends.
    let invitations = first.identity.invitations();
    assert_eq!(
        refusal(invitations.look(&old.secret, None).await),
        Refusal::Invitation
    );
    first.check_refused("invitation.opened", "invitation").await;
    let early = accept(&old.secret, "eve", PASSWORD);
    let early = invitations.accept(&early).await;
    assert_eq!(refusal(early), Refusal::Invitation);
    let invited = invitations.look(&one.secret, None).await.unwrap();
    assert_eq!((invited.user.as_str(), invited.has_password), ("", false));
    let (anna, ben) = (
        accept(&one.secret, "anna", PASSWORD),
        accept(&one.secret, "ben", PASSWORD),
    );
    let results = tokio::join!(
        first.identity.invitations().accept(&anna),
        second.identity.invitations().accept(&ben),
    );
    let results = [results.0, results.1];
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let refused = results.into_iter().find(Result::is_err).unwrap();
    assert_eq!(refusal(refused), Refusal::Invitation);
    first
        .check_refused("invitation.accepted", "invitation")
        .await;
    assert!(first.identity.first_start().await.unwrap().is_none());
    let users = first.identity.users().list().await.unwrap();
    assert_eq!(
        (users.len(), users[0].roles.as_slice()),
        (1, &["admin".to_owned()][..])
    );
    enter(&second, &users[0].name).await.unwrap();
}

async fn an_administrator_by_another_way_ends_the_first_link(site: &Site) {
    let opened = site.open().await;
    let first = opened.identity.first_start().await.unwrap().unwrap();
    opened.user("vera", &["viewer"]).await;
    let next = opened.identity.first_start().await.unwrap();
    assert!(next.is_some(), "a viewer is no administrator");
    opened.user("anna", &["admin"]).await;
    assert!(opened.identity.first_start().await.unwrap().is_none());
    for secret in [first.secret, next.unwrap().secret] {
        let late = opened.identity.invitations();
        let late = late.accept(&accept(&secret, "eve", PASSWORD)).await;
        assert_eq!(refusal(late), Refusal::Invitation);
    }
}

async fn an_invitation_counts_once(site: &Site) {
    let opened = site.open().await;
    let users = opened.identity.users();
    let invitations = opened.identity.invitations();
    let invitation = users
        .add(&operator(), &new_user("anna", &["viewer"]))
        .await
        .unwrap();
    let again = users.add(&operator(), &new_user("anna", &["admin"])).await;
    assert!(matches!(again, Err(IdentityError::Exists { .. })));
    let unknown = users.add(&operator(), &new_user("eve", &["emperor"])).await;
    assert!(matches!(unknown, Err(IdentityError::NotFound { .. })));

    let short = invitations
        .accept(&accept(&invitation.secret, "", "short"))
        .await;
    assert!(matches!(
        short,
        Err(IdentityError::Password(PasswordError::Length))
    ));
    let other = invitations
        .accept(&accept(&invitation.secret, "ben", PASSWORD))
        .await;
    assert_eq!(refusal(other), Refusal::Invitation);
    let acceptance = accept(&invitation.secret, "", PASSWORD);
    let results = join_all((0..50).map(|_| invitations.accept(&acceptance))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(
        refusal(invitations.accept(&acceptance).await),
        Refusal::Invitation
    );

    for life in [std::time::Duration::ZERO, 31 * 24 * HOUR] {
        let endless = invitations.add_for(&operator(), "anna", life).await;
        assert!(matches!(endless, Err(IdentityError::Invalid(_))));
    }
    let long = 48 * HOUR;
    let long = invitations
        .add_for(&operator(), "anna", long)
        .await
        .unwrap();
    let late = invitations.add(&operator(), "anna").await.unwrap();
    site.advance(25 * HOUR);
    let invited = invitations.look(&long.secret, None).await.unwrap();
    assert_eq!(
        (invited.user.as_str(), invited.has_password),
        ("anna", true)
    );
    let late = invitations
        .accept(&accept(&late.secret, "", PASSWORD))
        .await;
    assert_eq!(refusal(late), Refusal::Invitation);
    assert!(invitations.add(&operator(), "ghost").await.is_err());
}

async fn a_reset_ends_what_was(site: &Site) {
    let opened = site.open().await;
    opened.user("anna", &["viewer"]).await;
    let session = enter(&opened, "anna").await.unwrap();
    let invitations = opened.identity.invitations();
    let invitation = invitations.add(&operator(), "anna").await.unwrap();
    opened
        .identity
        .sessions()
        .verify(&session.secret)
        .await
        .unwrap();
    let new = "another good password";
    invitations
        .accept(&accept(&invitation.secret, "anna", new))
        .await
        .unwrap();
    let ended = opened.identity.sessions().verify(&session.secret).await;
    assert_eq!(refusal(ended), Refusal::SessionEnded);
    assert_eq!(refusal(enter(&opened, "anna").await), Refusal::Credentials);
    let sessions = opened.identity.sessions();
    sessions.sign_in(&sign_in("anna", new, None)).await.unwrap();
}

async fn a_session_lives_as_long_as_it_is_used_and_no_longer(site: &Site) {
    let opened = site.open().await;
    opened.user("anna", &["viewer"]).await;
    let sessions = opened.identity.sessions();
    let session = enter(&opened, "anna").await.unwrap();
    let idle = enter(&opened, "anna").await.unwrap();
    let principal = sessions.verify(&session.secret).await.unwrap();
    assert_eq!(
        (principal.user.as_str(), principal.roles.len()),
        ("anna", 1)
    );
    let steps = u32::try_from(SESSION_LIFE.as_secs() / (SESSION_IDLE.as_secs() - 60)).unwrap();
    for _ in 0..steps - 1 {
        site.advance(SESSION_IDLE - HOUR / 60);
        sessions.verify(&session.secret).await.unwrap();
    }
    let ended = sessions.verify(&idle.secret).await;
    assert_eq!(refusal(ended), Refusal::SessionEnded);
    site.advance(SESSION_IDLE);
    let ended = sessions.verify(&session.secret).await;
    assert_eq!(refusal(ended), Refusal::SessionEnded);

    let (one, two) = (
        enter(&opened, "anna").await.unwrap(),
        enter(&opened, "anna").await.unwrap(),
    );
    assert_eq!(sessions.list("anna").await.unwrap().len(), 2);
    sessions.end(&operator(), "anna", &one.id).await.unwrap();
    assert_eq!(
        refusal(sessions.verify(&one.secret).await),
        Refusal::SessionEnded
    );
    sessions.verify(&two.secret).await.unwrap();
    for _ in 0..60 {
        site.advance(HOUR / 3600);
        enter(&opened, "anna").await.unwrap();
    }
    assert_eq!(opened.number("SELECT COUNT(*) FROM web_sessions").await, 50);
    assert_eq!(
        refusal(sessions.verify(&two.secret).await),
        Refusal::SessionEnded
    );
}

async fn wrong_passwords_cost_time_and_tell_nothing(site: &Site) {
    let opened = site.open().await;
    opened.user("anna", &["viewer"]).await;
    let sessions = opened.identity.sessions();
    let attempt = async |name: &str, password: &str| {
        refusal(sessions.sign_in(&sign_in(name, password, None)).await)
    };
    // A name that nobody has is answered like one that somebody has.
    for name in ["anna", "nobody"] {
        for _ in 0..5 {
            assert_eq!(
                attempt(name, "a wrong password").await,
                Refusal::Credentials
            );
        }
        let refused = attempt(name, PASSWORD).await;
        assert!(
            matches!(refused, Refusal::TooManyAttempts(29..=30)),
            "{refused:?}"
        );
    }
    opened
        .check_refused("user.sign_in", "too_many_attempts")
        .await;
    site.advance(HOUR / 120);
    assert_eq!(
        attempt("anna", "a wrong password").await,
        Refusal::Credentials
    );
    let refused = attempt("anna", PASSWORD).await;
    assert!(
        matches!(refused, Refusal::TooManyAttempts(59..=60)),
        "{refused:?}"
    );
    site.advance(HOUR / 60);
    enter(&opened, "anna").await.unwrap();
    // A success begins the count anew.
    assert_eq!(
        attempt("anna", "a wrong password").await,
        Refusal::Credentials
    );
    enter(&opened, "anna").await.unwrap();
    assert_eq!(attempt("../anna", PASSWORD).await, Refusal::Credentials);
    let invited = new_user("ben", &[]);
    opened
        .identity
        .users()
        .add(&operator(), &invited)
        .await
        .unwrap();
    assert_eq!(attempt("ben", "").await, Refusal::Credentials);
}

async fn attempts_at_once_count_too(site: &Site) {
    let (first, second) = (site.open().await, site.open().await);
    first.user("anna", &["viewer"]).await;
    let wrong = sign_in("anna", "a wrong password", None);
    let attempts = (0..20).map(|index| {
        let opened = if index % 2 == 0 { &first } else { &second };
        let identity = opened.identity.clone();
        let wrong = wrong.clone();
        async move { refusal(identity.sessions().sign_in(&wrong).await) }
    });
    let refused = join_all(attempts).await;
    let tried = refused
        .iter()
        .filter(|refused| **refused == Refusal::Credentials);
    assert_eq!(tried.count(), 5, "{refused:?}");
}

/// The code of a key in base32 at a time, by a second implementation: that of this test.
fn code_of(key: &Secret, now: i64) -> String {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits: Vec<bool> = key
        .expose()
        .chars()
        .flat_map(|letter| {
            let value = letters.find(letter).unwrap();
            (0..5).rev().map(move |bit| value >> bit & 1 == 1)
        })
        .collect();
    let bytes: Vec<u8> = bits
        .chunks_exact(8)
        .map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit)))
        .collect();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let tag = aws_lc_rs::hmac::sign(&key, &(now / 30_000).to_be_bytes());
    let start = usize::from(tag.as_ref()[19] & 15);
    let four: [u8; 4] = tag.as_ref()[start..start + 4].try_into().unwrap();
    format!(
        "{:06}",
        (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000
    )
}

async fn a_code_counts_once(site: &Site) {
    let opened = site.open().await;
    opened.user("anna", &["viewer"]).await;
    let (users, sessions) = (opened.identity.users(), opened.identity.sessions());
    let enrolment = users.begin_totp(&operator(), "anna").await.unwrap();
    assert!(enrolment.url.expose().contains(enrolment.key.expose()));
    let again = users.begun_totp("anna").await.unwrap().unwrap();
    assert_eq!(again.key.expose(), enrolment.key.expose());
    // Until it is confirmed, nothing is asked for.
    enter(&opened, "anna").await.unwrap();
    let wrong = users
        .confirm_totp(&operator(), "anna", &Secret::new("000000x"))
        .await;
    assert_eq!(refusal(wrong), Refusal::Credentials);
    let code = Secret::new(code_of(&enrolment.key, site.now()));
    users
        .confirm_totp(&operator(), "anna", &code)
        .await
        .unwrap();
    let listed = users.get("anna").await.unwrap().unwrap();
    assert_eq!(listed.second_factors, [SecondFactor::Totp]);
    // A key that counts is not shown any more.
    assert!(users.begun_totp("anna").await.unwrap().is_none());

    assert_eq!(
        refusal(enter(&opened, "anna").await),
        Refusal::SecondFactorNeeded
    );
    let with = async |code: &str| {
        sessions
            .sign_in(&sign_in("anna", PASSWORD, Some(code)))
            .await
    };
    // The code of the confirmation was used by it.
    assert_eq!(refusal(with(code.expose()).await), Refusal::Credentials);
    site.advance(HOUR / 60);
    let code = code_of(&enrolment.key, site.now());
    let results = join_all((0..3).map(|_| with(&code))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(refusal(with(&code).await), Refusal::Credentials);
    opened.check_refused("user.sign_in", "credentials").await;
    site.advance(HOUR / 2);
    let old = with(&code).await;
    assert_eq!(refusal(old), Refusal::Credentials);
    with(&code_of(&enrolment.key, site.now())).await.unwrap();
    assert!(users.begin_totp(&operator(), "anna").await.is_err());
    users.remove_totp(&operator(), "anna").await.unwrap();
    enter(&opened, "anna").await.unwrap();
    let sealed = opened.number("SELECT COUNT(*) FROM users WHERE totp_key LIKE '%v1:%'");
    assert_eq!(sealed.await, 0);
}

async fn a_session_is_carried_to_one_host(site: &Site) {
    let opened = site.open().await;
    opened.user("anna", &["viewer"]).await;
    let session = enter(&opened, "anna").await.unwrap();
    let sessions = opened.identity.sessions();
    let principal = sessions.verify(&session.secret).await.unwrap();
    let carried = opened.identity.app_sessions();
    let nonce = carried.nonce().unwrap();
    let nonce = nonce.expose();
    let launch = async || carried.launch(&principal, "api.hub", nonce).await.unwrap();
    let code = launch().await;
    let visit = carried
        .enter(&code, ("api.hub", nonce), None)
        .await
        .unwrap();
    let again = carried.enter(&code, ("api.hub", nonce), None).await;
    assert_eq!(refusal(again), Refusal::SessionEnded);
    opened
        .check_refused("session.carried", "session_ended")
        .await;
    assert_eq!(
        carried.verify(&visit, "api.hub").await.unwrap().user,
        "anna"
    );
    // Neither at another host, nor as what it is not.
    let elsewhere = carried.verify(&visit, "evil.hub").await;
    assert_eq!(refusal(elsewhere), Refusal::SessionEnded);
    assert!(sessions.verify(&visit).await.is_err());
    assert!(carried.verify(&launch().await, "api.hub").await.is_err());
    // A code is for its host and its browser, and not for long.
    for place in [("evil.hub", nonce), ("api.hub", "another")] {
        let code = launch().await;
        assert!(carried.enter(&code, place, None).await.is_err());
        assert!(
            carried
                .enter(&code, ("api.hub", nonce), None)
                .await
                .is_err()
        );
    }
    let late = launch().await;
    site.advance(HOUR / 60);
    assert!(
        carried
            .enter(&late, ("api.hub", nonce), None)
            .await
            .is_err()
    );
    for _ in 0..250 {
        launch().await;
    }
    let kept = opened.number("SELECT COUNT(*) FROM app_sessions").await;
    assert!(kept <= 200, "{kept}");
    let code = launch().await;
    let visit = carried
        .enter(&code, ("api.hub", nonce), None)
        .await
        .unwrap();
    sessions
        .end(&operator(), "anna", &session.id)
        .await
        .unwrap();
    assert_eq!(
        refusal(carried.verify(&visit, "api.hub").await),
        Refusal::SessionEnded
    );
}

async fn a_locked_user_is_out_at_once(site: &Site) {
    let opened = site.open().await;
    opened.user("anna", &["viewer"]).await;
    let session = enter(&opened, "anna").await.unwrap();
    let targets = [
        LockTarget::User("anna".to_owned()),
        LockTarget::Role("viewer".to_owned()),
    ];
    for target in targets {
        let locks = opened.identity.locks();
        let lock = locks
            .add(&operator(), target, "on leave", None)
            .await
            .unwrap();
        let locked = Refusal::Locked("on leave".to_owned());
        let verified = opened.identity.sessions().verify(&session.secret).await;
        assert_eq!(refusal(verified), locked);
        assert_eq!(refusal(enter(&opened, "anna").await), locked);
        opened.check_refused("user.sign_in", "locked").await;
        locks.remove(&operator(), &lock).await.unwrap();
        opened
            .identity
            .sessions()
            .verify(&session.secret)
            .await
            .unwrap();
    }
    enter(&opened, "anna").await.unwrap();
}

async fn passwords_change_for_those_who_know_them(site: &Site) {
    let opened = site.open().await;
    opened.user("anna", &["viewer"]).await;
    let session = enter(&opened, "anna").await.unwrap();
    let users = opened.identity.users();
    let change = async |present: &str, new: &str| {
        let passwords = (Secret::new(present), Secret::new(new));
        users.change_password(&operator(), "anna", passwords).await
    };
    let wrong = change("a wrong password", "something else 1").await;
    assert_eq!(refusal(wrong), Refusal::Credentials);
    opened
        .check_refused("user.password_changed", "credentials")
        .await;
    assert!(change(PASSWORD, "short").await.is_err());
    change(PASSWORD, "something else 1").await.unwrap();
    let ended = opened.identity.sessions().verify(&session.secret).await;
    assert_eq!(refusal(ended), Refusal::SessionEnded);
    assert_eq!(refusal(enter(&opened, "anna").await), Refusal::Credentials);
}

async fn the_last_administrator_stays(site: &Site) {
    let opened = site.open().await;
    opened.user("anna", &["admin"]).await;
    let users = opened.identity.users();
    // One who has not accepted the invitation doesn't count.
    users
        .add(&operator(), &new_user("ben", &["admin"]))
        .await
        .unwrap();
    let error = users.remove(&operator(), "anna").await.unwrap_err();
    assert!(matches!(error, IdentityError::NotReady(_)), "{error}");
    let error = users
        .update(&operator(), &new_user("anna", &["viewer"]))
        .await;
    assert!(matches!(error, Err(IdentityError::NotReady(_))));
    opened.user("carl", &["admin"]).await;
    let session = enter(&opened, "anna").await.unwrap();
    let caller = operator();
    let (one, two) = tokio::join!(users.remove(&caller, "anna"), users.remove(&caller, "carl"),);
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let verified = opened.identity.sessions().verify(&session.secret).await;
    assert_eq!(verified.is_err(), one.is_ok());
}
