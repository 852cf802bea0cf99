"""Conversations of customers with the demo practice: scripts as `play` reads them."""

import pytest
from tests.flows.practice import Practice, play

SCRIPTS = {
    "books_step_by_step": """
        > hi
        < automated assistant of Lakeside Dental
        < 1. Book an appointment
        > 1
        < 2. Cleaning (45 minutes, 90 EUR)
        > cleaning
        < When would suit you?
        > thursday at 3pm
        = calendar_free
        < Thursday 26 November 2026 at 15:00 is free.
        < What is your name?
        > Ann Lee
        > ann@example.com
        < Cleaning, Thursday 26 November 2026 at 15:00
        < for Ann Lee, confirmation to ann@example.com
        > yes
        = calendar_create crm_upsert crm_log mail_draft mail_send
        < your appointment is booked: Cleaning, Thursday 26 November 2026 at 15:00
        """,
    "books_in_one_sentence": """
        > book a cleaning thursday 3pm, I'm Ann, ann@example.com
        = calendar_free
        < Cleaning, Thursday 26 November 2026 at 15:00
        < for Ann, confirmation to ann@example.com
        > yes please
        < Done
        """,
    "books_as_people_text": """
        > book cleaning tmrw 10am im joe joe@example.com thx
        < Cleaning, Tuesday 24 November 2026 at 10:00
        < for Joe, confirmation to joe@example.com
        > yes pls
        < Done
        """,
    "a_taken_time_gets_others_as_numbers": """
        ! busy 2026-11-24 15:00
        > book a checkup tuesday 3pm
        < Sorry, Tuesday 24 November at 15:00 is not free.
        < 3. Tue 24 Nov, 14:30
        < 4. Tue 24 Nov, 16:00
        - 15:30
        > the third one
        < What is your name?
        > Bob Stone
        > bob@example.com
        < Check-up, Tuesday 24 November 2026 at 14:30
        """,
    "somebody_was_quicker": """
        ! sneaky 2026-11-24 10:00
        > book a checkup tomorrow at 10, Ann Lee, ann@example.com
        < Check-up, Tuesday 24 November 2026 at 10:00
        > yes
        = calendar_create calendar_free calendar_free
        < Sorry, Tuesday 24 November at 10:00 is not free.
        < Tue 24 Nov, 09:30
        < Tue 24 Nov, 10:30
        - Nov, 10:00
        > 10:30
        < Tuesday 24 November 2026 at 10:30
        > yes
        < Done
        """,
    "a_full_day_is_said": """
        ! busy 2026-11-25 08:00 600
        > book a checkup on wednesday
        < Sorry, there is nothing free: Wednesday 25 November.
        < 1. Thu 26 Nov, 08:00
        - Wed 25
        """,
    "a_day_without_time_gets_free_times": """
        > book a cleaning tuesday
        < These times are free:
        < 5. Tue 24 Nov, 17:00
        > 4pm
        < What is your name?
        """,
    "a_time_without_day_is_asked_back": """
        > book a checkup at 3
        < Which day, at 15:00?
        > thursday
        < Thursday 26 November 2026 at 15:00 is free.
        """,
    "past_closed_and_impossible_dates_are_refused": """
        > book a cleaning yesterday
        < Sunday 22 November is already past.
        > sunday
        < We are closed on Sunday 29 November.
        > tuesday at 7am
        < on Tuesday 24 November we are open 08:00\N{EN DASH}18:00
        > 31.02.
        < There is no such date
        > today at 9
        < is already past
        > at 4
        = calendar_free
        < Monday 23 November 2026 at 16:00 is free.
        """,
    "corrects_everything": """
        > I need an appointment
        > the second one
        > tomorrow morning
        > 9:30
        < What is your name?
        > actually make it thursday
        < Thursday 26 November 2026 at 09:30
        > i'm bob
        < Which e-mail address
        > my mail is bob at example dot com
        < for Bob, confirmation to bob@example.com
        > no, 4pm
        < Thursday 26 November 2026 at 16:00
        > change the service to checkup
        < Check-up, Thursday 26 November 2026 at 16:00
        > wrong name, it's Rob
        < for Rob
        > yes but change the mail to rob@example.com
        < confirmation to rob@example.com
        - Which e-mail
        > yes
        < Check-up, Thursday 26 November 2026 at 16:00
        """,
    "a_no_asks_what_should_be_different": """
        > book a checkup tomorrow at 10, Ann Lee, ann@example.com
        > no
        < What should be different?
        > the time
        < When would suit you?
        > thursday
        > 11
        < Thursday 26 November 2026 at 11:00
        > nope
        < What should be different?
        > no
        < Nothing was booked.
        """,
    "a_question_in_between_is_answered_and_the_prompt_comes_again": """
        > book
        < What may we do for you?
        > what are your prices?
        < Cleaning: 90 EUR
        < (from: Prices)
        < What may we do for you?
        > cleaning
        > thursday 2pm
        < What is your name?
        > what happens if I cancel?
        < until 24 hours before
        < What is your name?
        > Mia. Is parking free?
        < six free places
        < Which e-mail address
        """,
    "a_price_and_a_wish_in_one_sentence": """
        > What does a cleaning cost and can I book one for Tuesday at 4pm?
        < Cleaning: 90 EUR
        - Check-up: 45 EUR
        < Tuesday 24 November 2026 at 16:00 is free.
        """,
    "changes_their_mind": """
        > book
        > cancel
        < Nothing was booked.
        > book a cleaning
        > forget it
        < Nothing was booked.
        > book a cleaning thursday 2pm
        > i changed my mind
        < Nothing was booked.
        """,
    "another_errand_in_the_middle": """
        > book a cleaning thursday 4pm
        < What is your name?
        > I also want to pay a deposit
        < let us do that first
        < What is the deposit for?
        > whitening
        > ann@example.com
        < 20.00 EUR
        > no
        < no payment request was made
        < Shall we go on with: Book an appointment?
        > yes
        < What is your name?
        > Ann
        < Cleaning, Thursday 26 November 2026 at 16:00
        """,
    "asks_for_a_person": """
        > can I talk to a real person?
        < What is your name?
        > Karl
        > 0151
        < does not look complete
        > karl@example.com
        > a bill
        = crm_log
        < A colleague will get back to you
        """,
    "asks_for_a_person_in_the_middle": """
        > book a cleaning thursday 3pm
        > human please
        < leave a note
        > Sam
        > 030 1234567
        > I am allergic to latex
        = crm_log
        < Thank you, Sam
        """,
    "cancels": """
        ! booked 2026-12-01 10:00 ann@example.com
        > cancel my appointment please, my mail is ann@example.com
        < Shall I cancel this appointment? Cleaning: Ann Lee, Tuesday 1 December 2026 at 10:00
        > yes
        = calendar_cancel crm_log
        < It is cancelled
        """,
    "cancels_one_of_two": """
        ! booked 2026-12-01 10:00 ann@example.com
        ! booked 2026-12-03 11:00 ann@example.com
        > cancel
        > ann@example.com
        < Which appointment do you mean?
        > the thursday one
        < Thursday 3 December 2026 at 11:00
        > no
        < stays as it is
        """,
    "cancels_under_another_address": """
        ! booked 2026-12-01 10:00 ann@example.com
        > cancel my appointment
        > nobody@example.com
        < no coming appointment under nobody@example.com
        > yes
        < Which e-mail address
        > ann@example.com
        < Shall I cancel
        > never mind
        < No appointment was cancelled.
        """,
    "moves": """
        ! booked 2026-12-01 10:00 ann@example.com
        > I'd like to change my booking
        > ann@example.com
        < Tuesday 1 December 2026 at 10:00
        > thursday 9am
        < Shall I move it to Thursday 26 November 2026 at 09:00?
        > ok
        = calendar_update crm_log mail_draft mail_send
        < now on Thursday 26 November 2026 at 09:00
        """,
    "asks_to_be_called": """
        > I'm interested in braces, can someone call me?
        < What is your name?
        > Max Power
        < Which phone number
        > 0151
        < does not look like a complete phone number
        > 0151 23456789
        > no
        > my son's braces
        = crm_upsert crm_log
        < will call you on +4915123456789
        """,
    "comes_back_to_a_booking_that_was_left_for_something_else": """
        > book a cleaning thursday 4pm
        > can I pay a deposit first
        < What is the deposit for?
        > book
        < What is your name?
        > Ann
        > ann@example.com
        < Cleaning, Thursday 26 November 2026 at 16:00
        """,
    "looks_an_appointment_up": """
        ! booked 2026-12-01 10:00 ann@example.com
        > what time is my appointment?
        > ann@example.com
        = calendar_events
        < Cleaning: Ann Lee, Tuesday 1 December 2026 at 10:00
        """,
    "takes_a_better_time_without_saying_sorry": """
        > book a checkup thursday 10am
        < What is your name?
        > 10:30 would be better
        < Thursday 26 November 2026 at 10:30
        > what about friday
        < Friday 27 November 2026 at 10:30
        < What is your name?
        """,
    "has_no_preference": """
        > book a cleaning
        > i dont have a preference
        = calendar_free
        < 1. Mon 23 Nov, 11:00
        > whatever
        < What is your name?
        """,
    "is_angry": """
        > you are useless
        < sorry that I am not of more help
        < "person"
        """,
    "says_something_and_asks_something": """
        > hello i am new here. do you take new patients?
        < (from: First visit)
        - did not understand
        """,
    "leaves_details": """
        > can you take a message?
        > Max Power
        > 0151 23456789
        > skip
        < What is it about?
        > braces
        = crm_upsert crm_log
        < Thank you, Max Power. My colleagues will call you on +4915123456789
        """,
    "speaks_german": """
        > Guten Tag
        > Termin buchen bitte
        > Zahnreinigung
        > übermorgen um 15 Uhr
        < Wednesday 25 November 2026 at 15:00 is free.
        > Ich heiße Jörg Müller
        > joerg@example.de
        < for Jörg Müller
        > nein
        > lieber halb fünf
        < Wednesday 25 November 2026 at 16:30
        > ja, gerne
        < Done
        """,
    "wants_other_times": """
        > Do you have anything free this afternoon?
        > checkup
        < 1. Mon 23 Nov, 12:00
        > more
        < These are free as well
        > anything earlier?
        < Which other day or time would suit you?
        > monday morning
        < Mon 30 Nov
        > none of these
        < Which other day or time would suit you?
        > tomorrow
        > the last
        < What is your name?
        """,
    "weekdays_belong_to_the_week_in_question": """
        > book a cleaning next week
        > Wednesday
        < Wed 02 Dec
        > afternoon
        > 2
        > Al
        < Which e-mail
        > al@example.com
        < Wednesday 2 December 2026 at 13:00
        > no I said Thursday
        < Thursday 3 December 2026 at 13:00
        """,
    "greets_thanks_and_leaves": """
        > hello there
        < Hello and welcome!
        > what can you do?
        < 2. Cancel an appointment
        > thanks!
        < You're welcome
        > no
        < Goodbye
        > bye
        < Goodbye
        """,
    "nonsense_gets_help_and_never_the_same_sentence": """
        > asdfgh
        < I did not understand that
        < 1. Book an appointment
        > qwertz
        < not sure what you mean
        < 7. Talk to a person
        > blub
        < "person"
        < +49 30 901820
        > foo
        < 1. Book an appointment
        """,
    "nonsense_in_a_flow_gets_a_hint_and_a_way_out": """
        > book
        > purple
        < I did not understand that
        < 1. Check-up
        > banana
        < "person"
        < 1. Check-up
        > I'm not sure
        < Take your time
        """,
    "the_calendar_is_down": """
        ! broken calendar_free
        > book a checkup tuesday 10am
        = calendar_free crm_log
        < I cannot look into our calendar
        < left a note
        """,
    "the_booking_fails": """
        ! broken calendar_create
        > book a checkup tuesday 10am, my name is Eve, eve@example.com
        > yes
        = calendar_create crm_log
        < could not complete the booking
        - Done
        """,
    "the_confirmation_mail_fails": """
        ! broken mail_draft
        > book a checkup tuesday 10am, my name is Eve, eve@example.com
        > yes
        = calendar_create crm_upsert crm_log mail_draft
        < Done
        < could not send the confirmation
        """,
    "even_the_note_fails": """
        ! broken crm_log
        ! broken calendar_free
        > book a checkup tuesday 10am
        < +49 30 901820
        - left a note
        """,
    "pays_a_deposit_with_the_consultation": """
        > book a whitening consultation thursday 10am, Zoe Miller, zoe@example.com
        > yes
        = calendar_create crm_upsert crm_log payments_link mail_draft mail_send
        < a deposit of 20.00 EUR
        < PR-2026-0001
        """,
    "an_emergency": """
        > I have a terrible toothache!!! can you help?
        < +49 30 901820
        < (from: Emergencies)
        """,
    "is_it_a_bot": """
        > are you a real person?
        < I am an automated assistant
        - What is your name
        """,
    "unknown_questions_are_said_to_be_unknown": """
        > what is the capital of France?
        < I do not know the answer
        > can I bring my dog?
        < I do not know the answer
        """,
    "templates_in_the_text_stay_text": """
        > book a cleaning {service.__class__} {now}
        > thursday {when} 14:00
        > {name}
        < What is your name?
        > O'Neill {email}
        - @
        """,
}


@pytest.mark.parametrize("name", SCRIPTS)
async def test_customer(name: str, practice: Practice) -> None:
    await play(practice, SCRIPTS[name])


async def test_offered_times_are_only_ever_those_of_the_calendar(practice: Practice) -> None:
    practice.book("2026-11-24 08:00", 7 * 60)
    rehearsal = await play(practice, "> book a checkup tuesday")

    numbered = [line[3:] for line in rehearsal.transcript[-1].splitlines() if line[:1].isdigit()]
    found = {f"Tue 24 Nov, {15 + n // 2}:{n % 2 * 30:02}" for n in range(6)}
    assert numbered
    assert set(numbered) <= found


async def test_staff_see_what_was_said_before_the_handoff(practice: Practice) -> None:
    await play(practice, SCRIPTS["asks_for_a_person_in_the_middle"])

    note = practice.log[-1]["text"]
    assert "Sam" in note
    assert "+49301234567" in note
    assert "Cleaning" in note
    assert "Thursday 26 November" in note
    assert "latex" in note


async def test_a_booking_reaches_calendar_crm_and_mail(practice: Practice) -> None:
    await play(practice, SCRIPTS["books_in_one_sentence"])

    event = next(iter(practice.events.values()))
    assert event["title"] == "Cleaning: Ann"
    assert (event["end"] - event["start"]).seconds == 45 * 60
    assert practice.contacts == [{"name": "Ann", "email": "ann@example.com"}]
    assert practice.mails[0]["sent"]
    assert "Thursday 26 November 2026 at 15:00" in practice.mails[0]["body"]


@pytest.mark.parametrize(
    ("question", "source"),
    [
        ("do you have parking?", "Parking"),
        ("when are you open?", "Opening hours"),
        ("are you open on sunday", "Opening hours"),
        ("how much is a cleaning?", "Prices"),
        ("do you take card?", "Paying"),
        ("is it wheelchair accessible", "Accessibility"),
        ("do you treat kids?", "Children"),
        ("what should i bring?", "First visit"),
        ("where are you?", "Address"),
        ("do you speak german?", "Languages"),
        ("I'm scared of the dentist", "Anxious patients"),
        ("how long does a cleaning take?", "How long it takes"),
        ("does it hurt?", "Anxious patients"),
        ("what's your phone number?", "Contact"),
        ("do you accept my health insurence?", "Insurance"),
        ("what about my data?", "Privacy"),
        ("wann haben sie geöffnet?", "Opening hours"),
    ],
)
async def test_answers_cite_their_heading(question: str, source: str, practice: Practice) -> None:
    await play(practice, f"> {question}\n< (from: {source})")
