"""Mailchimp: the only place that knows HTTP and Mailchimp's words.

    authorization, clock, retry, throttle, transport  ->  client  ->  endpoints  ->  answers
                             problems, refusals  ---------^           ^---  bodies

``endpoints`` are the calls, ``bodies`` the only way to make a member object, ``answers`` what comes back.
"""
