"""How machines become hosts, and how they stop being some."""

from coordinator.service.enrolment.departures import Departures
from coordinator.service.enrolment.hosts import ASK_AGAIN_AFTER, READMIT_WITHIN, EnrolmentService
from coordinator.service.enrolment.ports import Applicant, Certificate, Returning, WantedToken

__all__ = ["ASK_AGAIN_AFTER", "Applicant", "Certificate", "READMIT_WITHIN", "Departures", "EnrolmentService", "Returning", "WantedToken"]
