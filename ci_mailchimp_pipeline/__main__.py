"""``python -m ci_mailchimp_pipeline`` is ``ci-mailchimp``."""

from ci_mailchimp_pipeline.cli import main

if __name__ == "__main__":
    main()
