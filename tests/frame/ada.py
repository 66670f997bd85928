"""One invented person upstream, and the merge fields that her profile fills."""

from ci_mailchimp_pipeline.frame.fields import MergeField

FNAME = MergeField(tag="FNAME", type="text")
CITY = MergeField(tag="CITY", type="text")
INCOME = MergeField(tag="INCOME", type="number")
ADA = {
    "id": "c1",
    "EMail": "Ada@contoso-mail.internal",
    "FirstName": "Ada",
    "City": "Köln",
    "Income": "5",
    "Consent": "true",
}
